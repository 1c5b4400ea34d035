import { once } from 'node:events';
import type { ClientHttp2Stream } from 'node:http2';
import {
  GuestFrameParser,
  encodeGuestFrame,
  frameTypes,
  type GuestExecRequest,
  newExecId,
  readSessionFrame,
  type SessionFrame,
} from '@opencomputer/protocol';
import type { Sandbox } from '../../packages/sdk/src/index.ts';
import {
  attachSession,
  commandResult,
  type GuestChannel,
  readFile,
  startCommand,
} from '@opencomputer/worker/bench';
import { atLeastShare, atMostMoreMs, compare, type Finding } from '../finding.ts';
import { summarize } from '../statistics.ts';
import { BareOutput } from './bare-output.ts';
import { drain } from './content.ts';
import { type Context, timed } from './context.ts';

const warmUps = 5;
const keys = 100;
const streamMB = 128;
const streamRounds = 5;
const replays = 10;
const mebibyte = 1024 * 1024;
/** A key on its way longer than this is lost. */
const lateMs = 30_000;

/** A session of the agent, without server and worker. */
class DirectSession {
  readonly #stream: ClientHttp2Stream;
  readonly #parser = new GuestFrameParser();
  readonly #onFrame: (frame: SessionFrame) => void;

  private constructor(stream: ClientHttp2Stream, onFrame: (frame: SessionFrame) => void) {
    this.#stream = stream;
    this.#onFrame = onFrame;
    stream.on('data', (chunk: Buffer) => {
      for (const { type, payload } of this.#parser.push(chunk)) {
        const frame = readSessionFrame(type, payload);
        if (frame !== undefined) this.#onFrame(frame);
      }
    });
  }

  static async attach(
    channel: GuestChannel,
    id: string,
    onFrame: (frame: SessionFrame) => void,
  ): Promise<DirectSession> {
    const signal = new AbortController().signal;
    return new DirectSession(await attachSession(channel, id, new URLSearchParams(), signal), onFrame);
  }

  send(text: string): void {
    this.#stream.write(encodeGuestFrame(frameTypes.stdin, Buffer.from(text)));
  }

  async ended(): Promise<void> {
    if (!this.#stream.closed) await once(this.#stream, 'close');
  }

  close(): void {
    this.#stream.close();
  }
}

async function startDirectly(channel: GuestChannel, more: Partial<GuestExecRequest>): Promise<string> {
  const id = newExecId();
  await startCommand(channel, { id, argv: ['cat'], kind: 'session', stdin: true, waitMs: 0, ...more });
  return id;
}

/** Waits for output that a key brings. */
class Echo {
  #arrived: (() => void) | undefined;

  heard(): void {
    this.#arrived?.();
  }

  async after(press: () => void): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const late = setTimeout(() => reject(new Error(`no echo of a key within ${lateMs} ms`)), lateMs);
    this.#arrived = resolve;
    press();
    await promise.finally(() => clearTimeout(late));
  }
}

async function measureKeys(sandbox: Sandbox, channel: GuestChannel, rounds: number): Promise<Finding> {
  const ours = new Echo();
  const terminal = await sandbox.pty.create({ shell: '/bin/cat', onOutput: () => ours.heard() });
  const floor = new Echo();
  const id = await startDirectly(channel, { kind: 'pty', tty: { cols: 80, rows: 24 } });
  const direct = await DirectSession.attach(channel, id, ({ type }) => {
    if (type === 'output') floor.heard();
  });
  const times: Record<'ours' | 'floor', number[]> = { ours: [], floor: [] };
  for (let round = -warmUps; round < rounds; round++) {
    const pressed = await timed(() => ours.after(() => void terminal.send('x')));
    const bare = await timed(() => floor.after(() => direct.send('x')));
    if (round < 0) continue;
    times.ours.push(pressed.ms);
    times.floor.push(bare.ms);
  }
  direct.close();
  terminal.close();
  const what = { group: 'live', name: 'key to echo in a terminal', unit: 'ms' } as const;
  return compare(what, times.ours, times.floor, atMostMoreMs(5));
}

async function streamSession(sandbox: Sandbox, megabytes: number): Promise<void> {
  let bytes = 0;
  const session = await sandbox.exec.start('head', {
    args: ['-c', `${megabytes}M`, '/dev/zero'],
    onStdout: (data) => {
      bytes += data.length;
    },
  });
  await session.done;
  if (bytes !== megabytes * mebibyte) throw new Error(`a session lost output: ${bytes} bytes came`);
}

async function streamDirectly(channel: GuestChannel, megabytes: number): Promise<void> {
  let bytes = 0;
  const id = await startDirectly(channel, {
    argv: ['head', '-c', `${megabytes}M`, '/dev/zero'],
    holdMs: lateMs,
  });
  const session = await DirectSession.attach(channel, id, (frame) => {
    if (frame.type === 'output') bytes += frame.data.length;
  });
  await session.ended();
  if (bytes !== megabytes * mebibyte) throw new Error(`the agent lost output: ${bytes} bytes came`);
}

/** What one command prints, on its way through us and on three shorter ways. */
async function measureStream(sandbox: Sandbox, channel: GuestChannel, context: Context): Promise<Finding> {
  const megabytes = context.options.quick ? streamMB / 4 : streamMB;
  const path = '/tmp/bench-zeros';
  await startCommand(channel, { argv: ['truncate', '-s', `${megabytes}M`, path], waitMs: lateMs });
  const port = await BareOutput.start(context.bare, `head -c ${megabytes}M /dev/zero`);
  const signal = new AbortController().signal;
  const ways = {
    ours: () => streamSession(sandbox, megabytes),
    floor: () => streamDirectly(channel, megabytes),
    port: () => port.print(megabytes * mebibyte),
    file: async () => drain((await readFile(channel, path, signal)).stream, megabytes),
  };
  const rates: Record<keyof typeof ways, number[]> = { ours: [], floor: [], port: [], file: [] };
  try {
    for (let round = -1; round < streamRounds; round++)
      for (const way of ['ours', 'floor', 'port', 'file'] as const) {
        const { ms } = await timed(ways[way]);
        if (round >= 0) rates[way].push(megabytes / (ms / 1000));
      }
  } finally {
    await port.end();
  }
  const median = (values: readonly number[]): number => Math.round(summarize(values).median);
  const notes = {
    'MB/s of the same command piped to the bare agent port': median(rates.port),
    'MB/s of a file through the agent': median(rates.file),
  };
  const what = { group: 'live', name: `output of a session, ${megabytes} MB`, unit: 'MB/s', notes } as const;
  return compare(what, rates.ours, rates.floor, atLeastShare(0.6));
}

const fullRing = `head -c ${2 * mebibyte} /dev/zero`;

async function measureReplay(sandbox: Sandbox, channel: GuestChannel): Promise<Finding> {
  const session = await sandbox.exec.start('sh', { args: ['-c', fullRing] });
  await session.done;
  const id = await startDirectly(channel, { argv: ['sh', '-c', fullRing] });
  await commandResult(channel, id, lateMs);
  const times: Record<'ours' | 'floor', number[]> = { ours: [], floor: [] };
  for (let round = -1; round < replays; round++) {
    const ours = await timed(async () => (await sandbox.exec.attach(session.sessionId)).done);
    const floor = await timed(async () => (await DirectSession.attach(channel, id, () => undefined)).ended());
    if (round < 0) continue;
    times.ours.push(ours.ms);
    times.floor.push(floor.ms);
  }
  const what = { group: 'live', name: 'replay of a full buffer, 1 MiB', unit: 'ms' } as const;
  return compare(what, times.ours, times.floor, atMostMoreMs(100));
}

/** Sessions and terminals: delay of a key, throughput of output, replay. */
export async function measureLive(context: Context): Promise<Finding[]> {
  const { platform, bare, options, say } = context;
  await using stack = new AsyncDisposableStack();
  const sandbox = await platform.createSandbox();
  stack.defer(() => sandbox.kill());
  const machine = await bare.start();
  stack.defer(() => machine.end());
  await platform.rest();
  say('key to echo');
  const findings = [await measureKeys(sandbox, machine.channel, options.quick ? keys / 4 : keys)];
  say('output of a session');
  findings.push(await measureStream(sandbox, machine.channel, context));
  say('replay');
  findings.push(await measureReplay(sandbox, machine.channel));
  return findings;
}
