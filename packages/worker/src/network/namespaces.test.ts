import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openNetwork } from './index.ts';
import type { Network, NetworkSlot } from './index.ts';
import { run } from './run.ts';
import { Lab, needsRoot, randomTag, until } from './testing/lab.ts';
import { fakeResolver } from './testing/resolver.ts';
import { traces } from './testing/traces.ts';
import { quiet } from '../testing/log.ts';

const nameOf = (slot: NetworkSlot): string =>
  slot.mode === 'namespace' ? slot.namespacePath.split('/').at(-1)! : '';

async function open(lab: Lab, tag: string, warm = 0, stateDir?: string): Promise<Network> {
  const directory = stateDir ?? (await lab.directory());
  const network = await openNetwork({ instanceTag: tag, stateDir: directory, warm, log: quiet });
  lab.defer(() => network.close({ keep: false }));
  return network;
}

describe.skipIf(needsRoot)('a network of namespaces', () => {
  test('leaves nothing behind', async () => {
    await using lab = new Lab();
    const tag = randomTag();
    const network = await open(lab, tag, 2);
    const slot = await network.claim();
    expect(await traces(tag)).toContain(`oc-${tag}-${slot.index}`);
    await network.release(slot);
    await network.release(slot);
    expect((await traces(tag)).filter((name) => name.endsWith(`-${slot.index}`))).toEqual([]);
    await network.close({ keep: false });
    expect(await traces(tag)).toEqual([]);
  });

  test('gives a tap that belongs to the machine, with the gateway’s addresses', async () => {
    await using lab = new Lab();
    const network = await open(lab, randomTag());
    const slot = await network.claim();
    expect(slot.uid).toBe(300_000 + slot.index);
    const { stdout } = await run(['ip', '-N', '-n', nameOf(slot), '-d', 'addr', 'show', 'dev', 'tap0']);
    expect(stdout).toContain(`user ${slot.uid}`);
    expect(stdout).toContain('52:55:ac:1e:00:01');
    expect(stdout).toContain('172.30.0.1/30');
  });

  test('serves fifty claims at once, each with a slot of its own', async () => {
    await using lab = new Lab();
    const tag = randomTag();
    const network = await open(lab, tag, 4);
    const slots = await Promise.all(Array.from({ length: 50 }, () => network.claim()));
    expect(new Set(slots.map(({ index }) => index)).size).toBe(50);
    const present = await traces(tag);
    for (const slot of slots) expect(present).toContain(nameOf(slot));
    await Promise.all(slots.map((slot) => network.release(slot)));
    await network.close({ keep: false });
    expect(await traces(tag)).toEqual([]);
  });

  test('never gives a number back at once, nor lets a stale release hit its next holder', async () => {
    await using lab = new Lab();
    const network = await open(lab, randomTag());
    const first = await network.claim();
    await network.release(first);
    const second = await network.claim();
    expect(second.index).not.toBe(first.index);
    await network.release({ ...second });
    const { stdout } = await run(['ip', 'netns', 'list']);
    expect(stdout).toContain(nameOf(second));
  });

  test('undoes a batch that fails halfway, and goes on', async () => {
    await using lab = new Lab();
    const tag = randomTag();
    const network = await open(lab, tag);
    await run(['ip', 'link', 'add', `oc${tag}-2`, 'type', 'bridge']);
    const claims = await Promise.allSettled(Array.from({ length: 4 }, () => network.claim()));
    expect(claims.map(({ status }) => status)).toEqual(Array.from({ length: 4 }, () => 'rejected'));
    expect((claims[0] as PromiseRejectedResult).reason.message).toContain('File exists');
    await until('the failed batch is gone', async () =>
      (await traces(tag)).every((name) => !new RegExp(`${tag}-[0-9]`).test(name)),
    );
    const slot = await network.claim();
    expect(await traces(tag)).toContain(nameOf(slot));
  });

  test('replaces a ready slot that was removed from outside', async () => {
    await using lab = new Lab();
    const tag = randomTag();
    const network = await open(lab, tag, 1);
    await until('a slot is ready', async () => (await traces(tag)).includes(`oc-${tag}-0`));
    await network.release(await network.claim());
    await until('the next is there', async () => (await traces(tag)).includes(`oc-${tag}-1`));
    // This is set up last in a namespace; without its link the rest would fail.
    await until('the next is ready', async () => {
      const { stdout } = await run(['ip', '-n', `oc-${tag}-1`, 'neigh', 'show', 'nud', 'permanent']);
      return stdout.includes('dev tap0');
    });
    await run(['ip', 'link', 'del', `oc${tag}-1`]);
    const slot = await network.claim();
    expect(slot.index).not.toBe(1);
    expect(await traces(tag)).toContain(`oc${tag}-${slot.index}`);
  });

  test('two instances on one host keep apart', async () => {
    await using lab = new Lab();
    const tags = [randomTag(), randomTag()];
    const networks = await Promise.all(tags.map((tag) => open(lab, tag)));
    const slots = await Promise.all(networks.map((network) => network.claim()));
    const subnets = await Promise.all(
      tags.map(
        async (tag) => (await run(['ip', '-4', 'route', 'show', 'dev', `oc${tag}`])).stdout.split(' ')[0],
      ),
    );
    expect(new Set(subnets).size).toBe(2);
    await networks[0]!.close({ keep: false });
    expect(await traces(tags[0]!)).toEqual([]);
    expect(await traces(tags[1]!)).toContain(nameOf(slots[1]!));
  });

  test('instances that open at the same moment in the same small range never share a block', async () => {
    await using lab = new Lab();
    // Equal last digits: the search starts at the same block.
    const tags = ['a0000040', 'b0000040', 'c0000040', 'd0000040'];
    const stateDirs = await Promise.all(tags.map(() => lab.directory()));
    const opened = await Promise.all(
      tags.map((instanceTag, place) => {
        const options = { instanceTag, stateDir: stateDirs[place]!, warm: 0, log: quiet };
        return openNetwork({ ...options, subnet: '10.214.0.0/20' });
      }),
    );
    for (const network of opened) lab.defer(() => network.close({ keep: false }));
    const routes = (await run(['ip', '-4', 'route', 'show'])).stdout.match(/^10\.214\.[0-9.]+\/22/gm) ?? [];
    expect(new Set(routes).size).toBe(4);
    const full = openNetwork({
      instanceTag: 'e0000040',
      stateDir: stateDirs[0]!,
      warm: 0,
      log: quiet,
      subnet: '10.214.0.0/20',
    });
    await expect(full).rejects.toThrow('OPENCOMPUTER_SUBNET');
    expect(await traces('e0000040')).toEqual([]);
  });

  test('sweeps what a killed worker left, and takes back a machine whose connections live on', async () => {
    await using lab = new Lab();
    const tag = randomTag();
    const stateDir = await lab.directory();
    const resolvConf = join(stateDir, 'resolv.conf');
    await writeFile(resolvConf, 'nameserver 127.0.0.78\n');
    const upstream = await fakeResolver({ address: '127.0.0.78', port: 53 }, '203.0.113.98');
    lab.defer(async () => upstream[Symbol.asyncDispose]());
    const far = await lab.internet('198.51.100.250', '198.51.100.249', []);
    await lab.greeter(far, '0.0.0.0', 18_081);

    const worker = await lab.worker(tag, stateDir, resolvConf, '3');
    const [machine, dropped] = worker.slots as [NetworkSlot, NetworkSlot];
    const guest = await lab.guest(machine);
    await worker.kill();
    // Meanwhile other software removes everything it can.
    await run(['ip', 'netns', 'exec', nameOf(machine), 'nft', 'flush', 'ruleset']);
    await run(['nft', 'delete', 'table', 'inet', `oc_${tag}`]);
    await run(['ip', 'link', 'del', `oc${tag}`]);

    const network = await openNetwork({ instanceTag: tag, stateDir, resolvConf, warm: 0, log: quiet });
    lab.defer(() => network.close({ keep: false }));
    const swept = await network.sweep([machine.index]);
    expect(swept).toContain(nameOf(dropped));
    expect(swept).not.toContain(nameOf(machine));
    expect(await network.adopt(machine.index)).toEqual(machine);
    await expect(network.adopt(machine.index)).rejects.toThrow('already in use');
    await expect(network.adopt(dropped.index)).rejects.toThrow('does not exist');

    const outcomes = await lab.probe(guest, [
      { connect: '198.51.100.250', port: 18_081 },
      { connect: '198.51.100.249', port: 18_081 },
      { lookup: 'again.test', server: '172.30.0.1' },
    ]);
    expect(outcomes.map(({ result }) => result)).toEqual([
      'from 198.51.100.249',
      'ECONNREFUSED',
      '203.0.113.98',
    ]);
    await network.close({ keep: true });
    expect(await traces(tag)).toContain(nameOf(machine));
  });

  test('restores what other software removed under running machines', async () => {
    await using lab = new Lab();
    const tag = randomTag();
    const options = { instanceTag: tag, stateDir: await lab.directory(), warm: 0, log: quiet };
    const network = await openNetwork({ ...options, checkMs: 50 });
    lab.defer(() => network.close({ keep: false }));
    const far = await lab.internet('198.51.100.246', '198.51.100.245', []);
    await lab.greeter(far, '0.0.0.0', 18_082);
    const guest = await lab.guest(await network.claim());
    const online = async (): Promise<boolean> => {
      const [outcome] = await lab.probe(guest, [{ connect: '198.51.100.246', port: 18_082 }]);
      return outcome!.result === 'from 198.51.100.245';
    };
    expect(await online()).toBe(true);
    await run(['nft', 'delete', 'table', 'inet', `oc_${tag}`]);
    await until('the table is back', online);
    await run(['ip', 'link', 'del', `oc${tag}`]);
    await until('the bridge is back', online);
    const route = (await run(['ip', '-4', 'route', 'show', 'dev', `oc${tag}`])).stdout.split(' ')[0]!;
    await run(['iptables-nft', '-A', 'FORWARD', '-s', route, '-j', 'DROP']);
    await until('the firewall is open', online);
  });

  test('refuses to take back a slot without its tap', async () => {
    await using lab = new Lab();
    const tag = randomTag();
    const stateDir = await lab.directory();
    const worker = await lab.worker(tag, stateDir, '/etc/resolv.conf', '1');
    await worker.kill();
    const slot = worker.slots[0]!;
    await run(['ip', '-n', nameOf(slot), 'link', 'del', 'tap0']);
    const network = await open(lab, tag, 0, stateDir);
    await expect(network.adopt(slot.index)).rejects.toThrow(`no tap0 that belongs to uid ${slot.uid}`);
    await network.release(slot);
    expect(await traces(tag)).not.toContain(nameOf(slot));
  });

  test('refuses malformed options', async () => {
    const options = { stateDir: '/tmp', warm: 0, log: quiet };
    await expect(openNetwork({ ...options, instanceTag: 'XYZ' })).rejects.toThrow('eight lower-case');
    await expect(openNetwork({ ...options, instanceTag: '12345678', warm: -1 })).rejects.toThrow('warm');
    await expect(openNetwork({ ...options, instanceTag: '12345678', subnet: '10.0.0.0/30' })).rejects.toThrow(
      '/22',
    );
    await expect(openNetwork({ ...options, instanceTag: '12345678', uidBase: 0 })).rejects.toThrow('uidBase');
  });
});
