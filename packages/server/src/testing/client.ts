import { once } from 'node:events';
import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { readSessionFrame, type SessionFrame } from '@opencomputer/protocol';
import type { TestServer } from './harness.ts';
import { eventually } from './harness.ts';

/** A WebSocket client that keeps what it got. */
export class TestClient {
  readonly socket: WebSocket;
  readonly messages: Buffer[] = [];
  closed: { code: number; reason: string } | undefined;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data: Buffer) => this.messages.push(data));
    socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
    socket.on('error', () => undefined);
    onTestFinished(() => socket.terminate());
  }

  /** Connects; the path is below `/api/sandboxes`. */
  static async connect(
    server: TestServer,
    path: string,
    headers: Record<string, string> = { 'x-api-key': server.key },
  ): Promise<TestClient> {
    const client = new TestClient(
      new WebSocket(`${server.url.replace('http', 'ws')}/api/sandboxes/${path}`, { headers }),
    );
    await once(client.socket, 'open');
    return client;
  }

  /** What a refused connection was answered. */
  static async refused(
    server: TestServer,
    path: string,
    headers: Record<string, string> = { 'x-api-key': server.key },
  ): Promise<{ status: number; code: unknown }> {
    const socket = new WebSocket(server.url.replace('http', 'ws') + path, { headers });
    socket.on('error', () => undefined);
    const [, response] = (await once(socket, 'unexpected-response')) as [
      unknown,
      { statusCode: number } & AsyncIterable<Buffer>,
    ];
    let text = '';
    for await (const part of response) text += part.toString();
    return { status: response.statusCode, code: (JSON.parse(text) as { code: unknown }).code };
  }

  get frames(): (SessionFrame | undefined)[] {
    return this.messages.map((message) => readSessionFrame(message[0] ?? -1, message.subarray(1)));
  }

  /** Output of a stream, joined. */
  output(stream: 1 | 2 = 1): string {
    const parts = this.frames.flatMap((frame) =>
      frame?.type === 'output' && frame.stream === stream ? [frame.data] : [],
    );
    return Buffer.concat(parts).toString();
  }

  /** Everything that a terminal sent. */
  get raw(): string {
    return Buffer.concat(this.messages).toString();
  }

  count(type: SessionFrame['type']): number {
    return this.frames.filter((frame) => frame?.type === type).length;
  }

  type(text: string): void {
    this.socket.send(Buffer.concat([Buffer.of(0), Buffer.from(text)]));
  }

  async until(what: string, holds: (client: this) => boolean): Promise<void> {
    await eventually(what, () => holds(this));
  }

  async end(): Promise<{ code: number; reason: string }> {
    await eventually('closed', () => this.closed !== undefined);
    return this.closed ?? { code: 0, reason: '' };
  }
}
