import { WebSocket } from 'ws';
import { apiKey, apiUrl } from '../../raw-api.ts';

/** All that came over a socket until it was closed. */
export interface Conversation {
  readonly messages: Buffer[];
  /** First bytes of the messages, runs of the same one once. */
  readonly types: number[];
  readonly code: number;
  readonly reason: string;
}

/** The answer to an upgrade that was refused. */
export interface Refusal {
  status: number;
  body: unknown;
}

/** A WebSocket without any client. */
export class RawSocket {
  readonly messages: Buffer[] = [];
  readonly socket: WebSocket;
  readonly #closed: Promise<{ code: number; reason: string }>;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data: Buffer) => this.messages.push(data));
    socket.on('error', () => undefined);
    this.#closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
  }

  /** Opens `path`; the key goes into a header unless other ones are given. */
  static open(path: string, headers: Record<string, string> = { 'X-API-Key': apiKey }): Promise<RawSocket> {
    const socket = new WebSocket(`${apiUrl.replace(/^http/, 'ws')}${path}`, { headers });
    const raw = new RawSocket(socket);
    return new Promise((resolve, reject) => {
      socket.on('open', () => resolve(raw));
      socket.on('unexpected-response', (_request, response) => {
        reject(new Error(`${path} is refused with ${response.statusCode}`));
        response.resume();
      });
      socket.on('error', reject);
    });
  }

  /** Expects a refusal before the upgrade. */
  static refusal(path: string, headers: Record<string, string> = { 'X-API-Key': apiKey }): Promise<Refusal> {
    const socket = new WebSocket(`${apiUrl.replace(/^http/, 'ws')}${path}`, { headers });
    return new Promise((resolve, reject) => {
      socket.on('open', () => {
        socket.terminate();
        reject(new Error(`${path} was opened`));
      });
      socket.on('error', reject);
      socket.on('unexpected-response', (_request, response) => {
        let text = '';
        response.on('data', (data: Buffer) => (text += data.toString()));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
      });
    });
  }

  /** Waits for the other side to close. */
  async end(): Promise<Conversation> {
    const { code, reason } = await this.#closed;
    const { messages } = this;
    const first = messages.map((message) => message[0] ?? -1);
    return { messages, types: first.filter((type, n) => type !== first[n - 1]), code, reason };
  }
}
