import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { guestNetwork } from './addresses.ts';
import { openNetwork } from './index.ts';
import type { NetworkSlot } from './index.ts';
import { run } from './run.ts';
import { Lab, needsRoot, randomTag } from './testing/lab.ts';
import { fakeResolver } from './testing/resolver.ts';
import { quiet } from '../testing/log.ts';

const testPort = 18_080;
// The last addresses of a documentation range, which the policy must allow, since some sites use them internally.
const internet = '198.51.100.254';
const hostAddress = '198.51.100.253';
const metadata = '169.254.169.254';
const privateAddresses = ['192.168.251.7', '10.77.251.7', '172.29.251.7', '100.127.251.7'];

const bridgeAddress = async (slot: NetworkSlot): Promise<string> => {
  if (slot.mode !== 'namespace') throw new Error('not a namespace');
  const name = slot.namespacePath.split('/').at(-1)!;
  const { stdout } = await run(['ip', '-n', name, '-j', 'route', 'show', 'default']);
  return (JSON.parse(stdout) as { gateway: string }[])[0]!.gateway;
};

const uplinkAddress = async (slot: NetworkSlot): Promise<string> => {
  if (slot.mode !== 'namespace') throw new Error('not a namespace');
  const name = slot.namespacePath.split('/').at(-1)!;
  const { stdout } = await run(['ip', '-n', name, '-j', 'addr', 'show', 'dev', 'uplink']);
  return (JSON.parse(stdout) as { addr_info: { local: string }[] }[])[0]!.addr_info[0]!.local;
};

const nameOf = (slot: NetworkSlot): string =>
  slot.mode === 'namespace' ? slot.namespacePath.split('/').at(-1)! : '';

describe.skipIf(needsRoot)('the policy, seen from a guest', () => {
  const lab = new Lab();
  let guest = '';
  let slot: NetworkSlot;
  let neighbour: NetworkSlot;
  let stranger: NetworkSlot;

  beforeAll(async () => {
    const far = await lab.internet(internet, hostAddress, [metadata, ...privateAddresses]);
    await lab.greeter(far, '0.0.0.0', testPort);
    await lab.greeter(undefined, '0.0.0.0', testPort);
    const upstream = await fakeResolver({ address: '127.0.0.77', port: 53 }, '203.0.113.99');
    lab.defer(async () => upstream[Symbol.asyncDispose]());
    const stateDir = await lab.directory();
    const resolvConf = join(stateDir, 'resolv.conf');
    await writeFile(resolvConf, 'nameserver 127.0.0.77\n');
    const open = async () => {
      const options = { instanceTag: randomTag(), stateDir: await lab.directory(), resolvConf };
      const network = await openNetwork({ ...options, warm: 0, log: quiet });
      lab.defer(() => network.close({ keep: false }));
      return network;
    };
    const network = await open();
    [slot, neighbour] = await Promise.all([network.claim(), network.claim()]);
    stranger = await (await open()).claim();
    for (const other of [neighbour, stranger]) await lab.greeter(nameOf(other), '0.0.0.0', testPort);
    guest = await lab.guest(slot);
  });

  afterAll(() => lab[Symbol.asyncDispose]());

  test('the internet answers, and sees the host’s address', async () => {
    const [reached] = await lab.probe(guest, [{ connect: internet, port: testPort }]);
    expect(reached!.result).toBe(`from ${hostAddress}`);
  });

  test('names are resolved over UDP and TCP by the host’s resolver, though that listens on a loopback', async () => {
    const server = guestNetwork.gateway;
    const found = await lab.probe(guest, [
      { lookup: 'small.test', server },
      { lookup: 'big.test', server },
    ]);
    expect(found.map(({ result }) => result)).toEqual(['203.0.113.99', '203.0.113.99']);
  });

  test('the host is refused at once, at each of its addresses', async () => {
    const bridge = await bridgeAddress(slot);
    const strange = await bridgeAddress(stranger);
    const targets = [bridge, strange, hostAddress].map((connect) => ({ connect, port: testPort }));
    const fromHost = await lab.probe(undefined, targets);
    expect(fromHost.every(({ result }) => result.startsWith('from '))).toBe(true);
    const fromGuest = await lab.probe(guest, [...targets, { connect: guestNetwork.gateway, port: testPort }]);
    expect(fromGuest.map(({ result }) => result)).toEqual(
      targets.map(() => 'ECONNREFUSED').concat('ECONNREFUSED'),
    );
  });

  test('only port 53 of the bridge address is open, and only through the gateway', async () => {
    const bridge = await bridgeAddress(slot);
    const [direct] = await lab.probe(guest, [{ lookup: 'small.test', server: bridge }]);
    expect(direct!.result).toBe('ECONNREFUSED');
  });

  test('private, link-local and metadata addresses that the host reaches are refused at once', async () => {
    const targets = [metadata, ...privateAddresses].map((connect) => ({ connect, port: testPort }));
    const fromHost = await lab.probe(undefined, targets);
    expect(fromHost.map(({ result }) => result)).toEqual(targets.map(() => `from ${hostAddress}`));
    const fromGuest = await lab.probe(guest, targets);
    expect(fromGuest.map(({ result }) => result)).toEqual(targets.map(() => 'ECONNREFUSED'));
  });

  test('sandboxes of this and of another instance are refused at once', async () => {
    const targets = [
      { connect: await uplinkAddress(neighbour), port: testPort },
      { connect: await uplinkAddress(stranger), port: testPort },
    ];
    const fromGuest = await lab.probe(guest, targets);
    expect(fromGuest.map(({ result }) => result)).toEqual(['ECONNREFUSED', 'ECONNREFUSED']);
  });

  test('the bridge refuses sandboxes even without the rules of their namespaces', async () => {
    await using bare = new Lab();
    await run(['ip', 'netns', 'exec', nameOf(neighbour), 'nft', 'flush', 'ruleset']);
    const targets = [await bridgeAddress(slot), hostAddress, metadata, await uplinkAddress(stranger)].map(
      (connect) => ({ connect, port: testPort }),
    );
    const outcomes = await bare.probe(nameOf(neighbour), targets);
    expect(outcomes.map(({ result }) => result)).toEqual(targets.map(() => 'ECONNREFUSED'));
    const [isolated, reached] = await bare.probe(nameOf(neighbour), [
      { connect: await uplinkAddress(slot), port: testPort },
      { connect: internet, port: testPort },
    ]);
    expect(isolated!.result).toMatch(/^(EHOSTUNREACH|timeout)$/);
    expect(reached!.result).toBe(`from ${hostAddress}`);
  });

  test('a process in the namespace itself has no network', async () => {
    const [reached] = await lab.probe(nameOf(slot), [{ connect: internet, port: testPort }]);
    expect(reached!.result).toMatch(/^(EPERM|timeout)$/);
  });

  test('a forged source address gets nowhere', async () => {
    const forged = '172.29.3.3';
    await run(['ip', '-n', guest, '-batch', '-'], {
      input: `address add ${forged}/32 dev eth0\nroute add ${internet} via ${guestNetwork.gateway} src ${forged}\n`,
    });
    const [reached] = await lab.probe(guest, [{ connect: internet, port: testPort }]);
    await run(['ip', '-n', guest, '-batch', '-'], {
      input: `route del ${internet}\naddress del ${forged}/32 dev eth0\n`,
    });
    expect(reached!.result).toBe('timeout');
  });

  test('IPv6 gets no answer', async () => {
    await run(['ip', '-n', nameOf(slot), 'addr', 'add', 'fd77::1/64', 'dev', 'tap0', 'nodad']);
    await run(['ip', '-n', guest, 'addr', 'add', 'fd77::2/64', 'dev', 'eth0', 'nodad']);
    await lab.greeter(nameOf(slot), '::', testPort);
    const [reached] = await lab.probe(guest, [{ connect: 'fd77::1', port: testPort }]);
    expect(reached!.result).toMatch(/^(EHOSTUNREACH|timeout)$/);
  });

  test('the gateway’s hardware address is the same in both modes', async () => {
    expect(await lab.neighbour(guest)).toBe(guestNetwork.gatewayMac);
    const user = { mode: 'user', index: 7, uid: slot.uid } as const;
    const other = await lab.guest(user, 'user');
    expect(await lab.neighbour(other)).toBe(guestNetwork.gatewayMac);
    const [reached] = await lab.probe(other, [{ connect: internet, port: testPort }]);
    expect(reached!.result).toBe(`from ${hostAddress}`);
  });

  // Last, since it removes the host's rules.
  test('the namespace refuses by itself, without the rules of the host', async () => {
    await run(['nft', 'delete', 'table', 'inet', nameOf(slot).replace(/^oc-([0-9a-f]+)-.*$/, 'oc_$1')]);
    const targets = [
      await bridgeAddress(slot),
      metadata,
      ...privateAddresses,
      await uplinkAddress(neighbour),
    ];
    const outcomes = await lab.probe(
      guest,
      targets.map((connect) => ({ connect, port: testPort })),
    );
    expect(outcomes.map(({ result }) => result)).toEqual(targets.map(() => 'ECONNREFUSED'));
  });
});
