import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { guestPortName } from '@opencomputer/protocol';
import { startCommand } from '@opencomputer/worker/bench';
import { compare, type Finding } from '../finding.ts';
import type { BareMachine } from '../bare-machine.ts';
import type { BareHost } from '../floor.ts';
import type { Context } from './context.ts';

const mebibyte = 1024 * 1024;
const megabytes = 256;
const deadlineMs = 120_000;
/** What the guest sends when it has read everything. */
const finished = 0x78;

/**
 * In the guest: takes the port from the agent, sends, receives, and says that it has. One descriptor for all of it,
 * since closing the port drops what is in it.
 */
const script = [
  'systemctl stop opencomputer-agent',
  `exec 3<>/dev/virtio-ports/${guestPortName}`,
  `dd if=/dev/zero bs=1M count=${megabytes} status=none >&3`,
  `dd of=/dev/null bs=1M count=${megabytes} iflag=fullblock status=none <&3`,
  'printf x >&3',
].join('; ');

async function dial(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}

/** Milliseconds from the first to the last of so many bytes from the guest. */
async function receive(socket: Socket, bytes: number): Promise<number> {
  let received = 0;
  let started: number | undefined;
  for await (const part of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    started ??= performance.now();
    received += part.length;
    if (received >= bytes) return performance.now() - started;
  }
  throw new Error(`the port ended after ${received} bytes`);
}

/** Milliseconds until the guest has read so many bytes. */
async function send(socket: Socket, bytes: number): Promise<number> {
  const block = Buffer.alloc(mebibyte);
  const started = performance.now();
  const answer = (async () => {
    for await (const part of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)
      if (part.includes(finished)) return performance.now() - started;
    throw new Error('the port ended before the guest had read everything');
  })();
  answer.catch(() => undefined);
  for (let sent = 0; sent < bytes; sent += block.length)
    if (!socket.write(block)) await new Promise((resolve) => socket.once('drain', resolve));
  return answer;
}

async function measure(machine: BareMachine): Promise<{ up: number; down: number }> {
  const argv = ['systemd-run', '--no-block', '--quiet', 'sh', '-c', script];
  await startCommand(machine.channel, { argv, user: 'root', timeoutMs: 30_000 });
  machine.channel.hangUp();
  const socket = await dial(machine.socketPath);
  try {
    const down = await receive(socket, megabytes * mebibyte);
    const up = await send(socket, megabytes * mebibyte);
    return { up, down };
  } finally {
    socket.destroy();
  }
}

/** What the port itself moves, without HTTP/2, agent and disk. Spoils the machine, so it has one of its own. */
export async function measureRawPort(bare: BareHost, say: Context['say']): Promise<Finding[]> {
  say('raw port');
  const machine = await bare.start();
  try {
    if (machine.channel.agent?.init !== 'systemd') return [];
    const late = delay(deadlineMs, undefined, { ref: false }).then(() => {
      throw new Error(`the raw port moved ${megabytes} MB not within ${deadlineMs} ms`);
    });
    const { up, down } = await Promise.race([measure(machine), late]);
    const rate = (ms: number): number[] => [megabytes / (ms / 1000)];
    return [
      compare({ group: 'files', name: 'raw port, to the guest', unit: 'MB/s' }, rate(up), []),
      compare({ group: 'files', name: 'raw port, from the guest', unit: 'MB/s' }, rate(down), []),
    ];
  } finally {
    await machine.end();
  }
}
