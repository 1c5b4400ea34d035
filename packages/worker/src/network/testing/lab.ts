import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@opencomputer/testing/eventually';
import { guestNetwork } from '../addresses.ts';
import { networkArgs } from '../args.ts';
import { detectNetworkMode } from '../detect.ts';
import type { NetworkSlot } from '../index.ts';
import { run } from '../run.ts';
import { privateNetworkVariable } from './private-network.ts';
import type { Attempt, Outcome } from './probe.ts';

export function randomTag(): string {
  return randomBytes(4).toString('hex');
}

const script = (name: string): string => join(import.meta.dirname, name);
const enter = (namespace: string): string[] => ['nsenter', `--net=/run/netns/${namespace}`, '--'];

/** Namespaces, processes and directories of a test; disposing it removes them, the last first. */
export class Lab implements AsyncDisposable {
  readonly #undo = new AsyncDisposableStack();
  readonly #id = randomBytes(2).toString('hex');

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }

  defer(work: () => Promise<unknown>): void {
    this.#undo.defer(async () => {
      await work();
    });
  }

  async directory(): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), 'oc-network-'));
    this.defer(() => rm(path, { recursive: true }));
    return path;
  }

  async namespace(role: string): Promise<string> {
    const name = `octest-${this.#id}-${role}`;
    await run(['ip', 'netns', 'add', name]);
    this.defer(() => run(['ip', 'netns', 'del', name]));
    return name;
  }

  async spawn(command: string[], ready?: string): Promise<{ child: ChildProcess; output: () => string }> {
    const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'close');
    this.defer(async () => {
      child.kill('SIGKILL');
      await ended;
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data));
    if (ready !== undefined) {
      await until(`${command.join(' ')} prints ${ready}`, async () => {
        if (child.exitCode !== null) throw new Error(`${command.join(' ')} ended: ${output}`);
        return output.includes(ready);
      });
    }
    return { child, output: () => output };
  }

  /** A TCP server in a namespace (none: the host). */
  async greeter(namespace: string | undefined, address: string, port: number): Promise<void> {
    const into = namespace === undefined ? [] : enter(namespace);
    await this.spawn([...into, process.execPath, script('greeter.ts'), address, String(port)], 'listening');
  }

  /** A worker in its own process that has claimed slots. */
  async worker(...args: string[]): Promise<{ slots: NetworkSlot[]; kill: () => Promise<void> }> {
    const { child, output } = await this.spawn([process.execPath, script('worker.ts'), ...args], ']\n');
    const ended = once(child, 'close');
    return {
      slots: JSON.parse(output()) as NetworkSlot[],
      kill: async () => {
        child.kill('SIGKILL');
        await ended;
      },
    };
  }

  /** A stand-in for the internet: addresses behind a link, to which only the host has routes. */
  async internet(own: string, hostAddress: string, others: string[]): Promise<string> {
    const name = await this.namespace('net');
    const link = `octest${this.#id}`;
    const host = [
      `link add ${link} type veth peer name far netns ${name}`,
      `address add ${hostAddress} peer ${own} dev ${link}`,
      `link set ${link} up`,
      ...others.map((address) => `route add ${address} via ${own} dev ${link}`),
    ];
    await run(['ip', '-batch', '-'], { input: host.join('\n') });
    const far = [
      'link set lo up',
      'link set far up',
      `address add ${own} peer ${hostAddress} dev far`,
      ...others.map((address) => `address add ${address}/32 dev lo`),
    ];
    await run(['ip', '-n', name, '-batch', '-'], { input: far.join('\n') });
    return name;
  }

  /**
   * A guest for a slot: a namespace whose eth0 is connected to the machine's side through QEMU, which runs as an
   * unprivileged user with the same arguments as for a machine. Only the virtual processor is missing.
   */
  async guest(slot: NetworkSlot, role = 'guest'): Promise<string> {
    const name = await this.namespace(role);
    const { guest, guestMac, gateway, prefix } = guestNetwork;
    await run(['ip', '-n', name, '-batch', '-'], {
      input: [
        `tuntap add dev eth0 mode tap user ${slot.uid}`,
        `link set eth0 address ${guestMac}`,
        'link set lo up',
        'link set eth0 up',
        `address add ${guest}/${prefix} dev eth0`,
        `route add default via ${gateway}`,
      ].join('\n'),
    });
    const wires = await this.directory();
    await chmod(wires, 0o777);
    const wire = (local: string, remote: string): string =>
      `dgram,id=wire,local.type=unix,local.path=${wires}/${local},remote.type=unix,remote.path=${wires}/${remote}`;
    const hub = (id: string): string[] => ['-netdev', `hubport,hubid=0,id=hub-${id},netdev=${id}`];
    const qemu = async (into: string[], local: string, remote: string, side: string[]): Promise<void> => {
      const user = ['setpriv', `--reuid=${slot.uid}`, `--regid=${slot.uid}`, '--clear-groups', '--'];
      const machine = ['qemu-system-x86_64', '-M', 'none', '-display', 'none', '-nodefaults', '-nographic'];
      const wired = ['-netdev', wire(local, remote), ...hub('wire'), ...side, ...hub('net0')];
      await this.spawn([...into, ...user, ...machine, ...wired]);
    };
    const side = slot.mode === 'namespace' ? ['nsenter', `--net=${slot.namespacePath}`, '--'] : [];
    await qemu(side, 'machine', 'guest', networkArgs(slot));
    await qemu(enter(name), 'guest', 'machine', [
      '-netdev',
      'tap,id=net0,ifname=eth0,script=no,downscript=no',
    ]);
    await until('the guest hears its gateway', async () => {
      await this.probe(name, [{ connect: gateway, port: 9 }]);
      return (await this.neighbour(name)) !== undefined;
    });
    return name;
  }

  /** Hardware address of the gateway as the guest knows it. */
  async neighbour(guest: string): Promise<string | undefined> {
    const { stdout } = await run(['ip', '-n', guest, '-j', 'neigh', 'show', guestNetwork.gateway]);
    return (JSON.parse(stdout) as { lladdr?: string }[])[0]?.lladdr;
  }

  /** Makes attempts at the same time from inside a namespace (none: the host). */
  async probe(namespace: string | undefined, attempts: Attempt[]): Promise<Outcome[]> {
    const into = namespace === undefined ? [] : enter(namespace);
    const command = [...into, process.execPath, script('probe.ts'), JSON.stringify(attempts)];
    return JSON.parse((await run(command as [string, ...string[]])).stdout) as Outcome[];
  }
}

/** Waits for a condition. @throws Error naming it after a minute. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  await eventually(what, holds, { withinMs: 60_000 });
}

const { mode, shortcomings } = await detectNetworkMode();
const ours = process.env[privateNetworkVariable];
if (mode === 'namespace' && (ours === undefined || ours !== (await readlink('/proc/self/ns/net'))))
  throw new Error(
    'these tests change bridges and firewalls; without vitest.config.ts, it would be those of the host',
  );
for (const { problem, fix } of shortcomings) {
  process.stdout.write(`tests with real network namespaces are skipped: ${problem} (${fix})\n`);
}

/** For `describe.skipIf`. */
export const needsRoot = mode !== 'namespace';
