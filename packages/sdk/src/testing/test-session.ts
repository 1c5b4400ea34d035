import type { WebSocket } from 'ws';

type Stream = 1 | 2;

/** An attached client. */
interface Reader {
  readonly socket: WebSocket;
  readonly client: string;
  /** It gave `from`, so it gets offsets, gaps and accepted input. */
  readonly counts: boolean;
}

/** A session as a server has it, without a machine: a test prints and exits by hand. */
export class TestSession {
  /** All input, in the order in which it was taken. */
  stdin = Buffer.alloc(0);
  /** How often the end of the input was sent. */
  stdinEnds = 0;
  /** Takes input only while true. */
  reads = true;
  readonly #pieces: { stream: Stream; data: Buffer }[] = [];
  readonly #accepted = new Map<string, number>();
  readonly #waiting: { client: string; data: Buffer }[] = [];
  readonly #readers = new Set<Reader>();
  #firstKept = 0;
  #end = 0;
  #exitCode: number | undefined;

  get attached(): number {
    return this.#readers.size;
  }

  print(text: string | Uint8Array, stream: Stream = 1): void {
    const data = Buffer.from(text as string);
    this.#pieces.push({ stream, data });
    this.#end += data.length;
    for (const { socket } of this.#readers) socket.send(Buffer.concat([Buffer.of(stream), data]));
  }

  /** Bytes that have been printed. */
  get printed(): number {
    return this.#end;
  }

  /** Called after input was taken. */
  taken(): void {}

  /** Called at the end of the input. */
  inputEnded(): void {}

  /** Drops the oldest output. */
  forget(bytes: number): void {
    this.#firstKept += bytes;
  }

  exit(code: number): void {
    this.#exitCode = code;
    for (const { socket } of this.#readers) sendExit(socket, code);
  }

  /** Says that the sandbox hibernates, or runs again. */
  power(awake: boolean): void {
    for (const { socket } of this.#readers) socket.send(Buffer.of(9, awake ? 1 : 0));
  }

  /** Reads the input that has waited. */
  readOn(): void {
    this.reads = true;
    for (const { client, data } of this.#waiting.splice(0)) this.#take(client, data);
  }

  /** Serves a client that attaches. */
  attach(socket: WebSocket, query: URLSearchParams): void {
    const reader = { socket, client: query.get('client') ?? '', counts: query.has('from') };
    const from = Math.max(Number(query.get('from') ?? 0), 0);
    const begin = Math.max(from, this.#firstKept);
    if (reader.counts) {
      sendCount(socket, 6, this.#accepted.get(reader.client) ?? 0);
      sendCount(socket, 7, from);
      if (from < this.#firstKept) sendCount(socket, 5, this.#firstKept - from);
    }
    let offset = 0;
    for (const { stream, data } of this.#pieces) {
      const part = data.subarray(Math.max(0, begin - offset));
      offset += data.length;
      if (part.length > 0) socket.send(Buffer.concat([Buffer.of(stream), part]));
    }
    socket.send(Buffer.of(4));
    if (this.#exitCode !== undefined) return sendExit(socket, this.#exitCode);
    this.#readers.add(reader);
    socket.on('close', () => this.#readers.delete(reader));
    socket.on('message', (message: Buffer) => {
      if (message[0] === 4) {
        this.stdinEnds += 1;
        this.inputEnded();
      }
      if (message[0] === 0) this.#take(reader.client, message.subarray(1));
    });
  }

  #take(client: string, data: Buffer): void {
    if (!this.reads) {
      this.#waiting.push({ client, data });
      return;
    }
    this.stdin = Buffer.concat([this.stdin, data]);
    const accepted = (this.#accepted.get(client) ?? 0) + data.length;
    this.#accepted.set(client, accepted);
    this.taken();
    for (const reader of this.#readers)
      if (reader.counts && reader.client === client) sendCount(reader.socket, 6, accepted);
  }

  /** Asks all clients to disconnect. */
  close(code: number, reason: string): void {
    for (const { socket } of this.#readers) socket.close(code, reason);
  }

  /** Disconnects all clients; input that was under way is lost. */
  cut(): void {
    this.#waiting.length = 0;
    for (const { socket } of this.#readers) socket.terminate();
  }
}

export function sendCount(socket: WebSocket, type: number, count: number): void {
  const frame = Buffer.alloc(9);
  frame[0] = type;
  frame.writeBigUInt64BE(BigInt(count), 1);
  socket.send(frame);
}

function sendExit(socket: WebSocket, code: number): void {
  const frame = Buffer.alloc(5);
  frame[0] = 3;
  frame.writeInt32BE(code, 1);
  socket.send(frame);
  socket.close(1000);
}
