import { readSessionFrame, type SessionFrame } from '../../packages/protocol/src/index.ts';
import type { TestSandbox } from './api.ts';
import { eventually } from '@opencomputer/testing/eventually';

const longMs = 120_000;

/** A plain WebSocket client of a session, with the platform's WebSocket and no library of ours between. */
export class LiveClient {
  readonly #socket: WebSocket;
  readonly #chunks: Record<1 | 2, Buffer[]> = { 1: [], 2: [] };
  readonly #frames: SessionFrame['type'][] = [];
  readonly #raw: Buffer[] = [];
  #opened = false;
  bytes = 0;
  exitCode: number | undefined;
  closed: { code: number; reason: string } | undefined;

  private constructor(socket: WebSocket, raw: boolean) {
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('message', ({ data }) => {
      const message = Buffer.from(data as ArrayBuffer);
      this.bytes += message.length - (raw ? 0 : 1);
      if (raw) this.#raw.push(message);
      else this.#take(message);
    });
    socket.addEventListener('open', () => {
      this.#opened = true;
    });
    socket.addEventListener('close', ({ code, reason }) => {
      this.closed = { code, reason };
    });
    socket.addEventListener('error', () => undefined);
  }

  /** Attaches to `exec/ID` or `pty/ID` of a sandbox. */
  static async attach(sandbox: TestSandbox, path: string, query = ''): Promise<LiveClient> {
    const { url, key } = sandbox.api;
    const address = `${url.replace('http', 'ws')}${sandbox.path}/${path}?api_key=${key}${query}`;
    const socket = new WebSocket(address);
    const client = new LiveClient(socket, path.startsWith('pty'));
    const settled = (): boolean => client.#opened || client.closed !== undefined;
    await eventually('attached', settled, { withinMs: longMs });
    // One that has ended may be closed again already.
    if (!client.#opened) throw new Error(`not attached to ${path}`);
    return client;
  }

  /** Starts a session and attaches to it. */
  static async start(
    sandbox: TestSandbox,
    cmd: string,
    args: string[] = [],
  ): Promise<{ id: string; client: LiveClient }> {
    const id = await startSession(sandbox, cmd, args);
    return { id, client: await LiveClient.attach(sandbox, `exec/${id}`) };
  }

  #take(message: Buffer): void {
    const frame = readSessionFrame(message[0] ?? -1, message.subarray(1));
    if (frame === undefined) throw new Error('a message of an unknown type');
    this.#frames.push(frame.type);
    if (frame.type === 'output') this.#chunks[frame.stream].push(frame.data);
    if (frame.type === 'exit') this.exitCode = frame.code;
  }

  /** All bytes of a stream so far. */
  output(stream: 1 | 2 = 1): Buffer {
    return Buffer.concat(this.#chunks[stream]);
  }

  /** All that a terminal sent. */
  get screen(): string {
    return Buffer.concat(this.#raw).toString();
  }

  count(type: SessionFrame['type']): number {
    return this.#frames.filter((one) => one === type).length;
  }

  send(data: string | Buffer): void {
    const bytes = Buffer.from(data);
    for (let at = 0; at < bytes.length; at += 64 * 1024)
      this.#socket.send(Buffer.concat([Buffer.of(0), bytes.subarray(at, at + 64 * 1024)]));
  }

  sendRaw(data: string): void {
    this.#socket.send(data);
  }

  endInput(): void {
    this.#socket.send(Buffer.of(4));
  }

  close(): void {
    this.#socket.close();
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    await eventually(what, () => holds() || this.closed !== undefined, { withinMs: longMs });
    if (!holds()) throw new Error(`${what}: closed with ${this.closed?.code} ${this.closed?.reason}`);
  }

  async end(): Promise<{ code: number; reason: string }> {
    await eventually('closed', () => this.closed !== undefined, { withinMs: longMs });
    return this.closed ?? { code: 0, reason: '' };
  }
}

/** Starts a session. @returns its id */
export async function startSession(sandbox: TestSandbox, cmd: string, args: string[] = []): Promise<string> {
  const answer = await sandbox.call('POST', '/exec', { json: { cmd, args } });
  if (answer.status !== 201) throw new Error(`exec: ${answer.status} ${answer.text}`);
  return answer.body['sessionID'] as string;
}

/** True when text is the lines `0`, `1`, `2`... with none missing or twice; the last may be incomplete. */
export function countsUp(text: string): boolean {
  const lines = text.split('\n').slice(0, -1);
  return lines.every((line, index) => line === String(index));
}
