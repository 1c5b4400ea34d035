import type { Duplex } from 'node:stream';
import {
  GuestFrameParser,
  guestPayloadBytes,
  ApiError,
  encodeGuestFrame,
  encodeCounter,
  encodeExitCode,
  frameTypes,
  type GuestExecRequest,
  type GuestExecResult,
  type GuestSession,
  partsOf,
} from '@opencomputer/protocol';

interface Printed {
  readonly stream: 1 | 2;
  readonly data: Buffer;
  readonly offset: number;
}

/** A command that speaks the agent's frames. The test says what it prints; `cat` prints what it reads. */
export class SimulatedSession {
  readonly request: GuestExecRequest;
  readonly input: Buffer[] = [];
  readonly signals: number[] = [];
  inputEnded = false;
  /** Up to where some reader says that it has the output. */
  taken = 0;
  size: { cols: number; rows: number } | undefined;
  exitCode: number | undefined;
  /** By `Date.now`. */
  endedAt: number | undefined;
  /** For a terminal, a shell or an agent: whether it is at work. */
  atWork = false;
  /** Whether it takes what is written to it. */
  takes = true;
  /** Bytes that were written to it and that it did not take. */
  left = 0;
  #printed: Printed[] = [];
  #total = 0;
  readonly #readers = new Set<Duplex>();
  readonly #accepted = new Map<string, number>();
  readonly #startedAt = new Date();

  constructor(request: GuestExecRequest) {
    this.request = request;
    this.size = request.tty;
  }

  get attached(): number {
    return this.#readers.size;
  }

  get text(): string {
    return Buffer.concat(this.input).toString();
  }

  describe(): GuestSession {
    const { id = '', argv, kind = 'run', stdin = false, tty, keepAwake = true } = this.request;
    return {
      ...this.result(),
      id,
      argv,
      kind,
      attached: this.attached,
      tty: tty !== undefined,
      stdin: stdin || tty !== undefined,
      keepAwake,
      unlisted: this.request.unlisted ?? false,
    };
  }

  result(): GuestExecResult {
    return {
      id: this.request.id ?? '',
      running: this.exitCode === undefined,
      exitCode: this.exitCode ?? null,
      signal: null,
      timedOut: false,
      truncated: false,
      stdout: '',
      stderr: '',
      startedAt: this.#startedAt.toISOString(),
      durationMs: Date.now() - this.#startedAt.getTime(),
    };
  }

  print(text: string | Buffer, stream: 1 | 2 = 1): void {
    const data = Buffer.from(text);
    this.#printed.push({ stream, data, offset: this.#total });
    this.#total += data.length;
    for (const reader of this.#readers) sendOutput(reader, stream, data);
  }

  /** Forgets output before this offset, as a full ring does. */
  dropBefore(offset: number): void {
    this.#printed = this.#printed.filter((printed) => printed.offset >= offset);
  }

  exit(code: number): void {
    this.exitCode = code;
    this.endedAt = Date.now();
    for (const reader of this.#readers) reader.end(encodeGuestFrame(frameTypes.exit, encodeExitCode(code)));
  }

  /** Ends every stream without a word, as a snapshot does. */
  detachAll(): void {
    for (const reader of this.#readers) reader.destroy();
  }

  /** @throws ApiError `invalid_request` for an offset beyond the end */
  attach(from: string, client: string): (connection: Duplex) => void {
    const start = from === 'end' ? this.#total : Number(from);
    if (start > this.#total) throw new ApiError('invalid_request', `the offset ${start} is beyond the end`);
    return (connection) => {
      const first = this.#printed[0]?.offset ?? this.#total;
      connection.write(encodeGuestFrame(frameTypes.accepted, encodeCounter(this.#accepted.get(client) ?? 0)));
      connection.write(encodeGuestFrame(frameTypes.offset, encodeCounter(start)));
      if (first > start) connection.write(encodeGuestFrame(frameTypes.gap, encodeCounter(first - start)));
      for (const { stream, data, offset } of this.#printed)
        sendOutput(connection, stream, data.subarray(Math.max(start - offset, 0)));
      connection.write(encodeGuestFrame(frameTypes.end, encodeCounter(this.#total)));
      this.#readers.add(connection);
      connection.once('close', () => this.#readers.delete(connection));
      this.#read(connection, client);
      if (this.exitCode !== undefined)
        connection.end(encodeGuestFrame(frameTypes.exit, encodeExitCode(this.exitCode)));
    };
  }

  #read(connection: Duplex, client: string): void {
    const parser = new GuestFrameParser();
    connection.on('data', (chunk: Buffer) => {
      for (const { type, payload } of parser.push(chunk)) {
        if (type === frameTypes.taken) this.taken = Number(payload.readBigUInt64BE());
        if (!this.takes && type === frameTypes.stdin) this.left += payload.length;
        if (this.exitCode !== undefined || !this.takes) continue;
        if (type === frameTypes.end) this.#endInput();
        if (type !== frameTypes.stdin) continue;
        const accepted = (this.#accepted.get(client) ?? 0) + payload.length;
        this.#accepted.set(client, accepted);
        connection.write(encodeGuestFrame(frameTypes.accepted, encodeCounter(accepted)));
        this.input.push(Buffer.from(payload));
        if (this.request.argv[0] === 'cat') this.print(Buffer.from(payload));
      }
    });
    connection.once('end', () => connection.destroy());
  }

  #endInput(): void {
    this.inputEnded = true;
    if (this.request.argv[0] === 'cat') this.exit(0);
  }
}

function sendOutput(reader: Duplex, stream: 1 | 2, data: Buffer): void {
  for (const part of partsOf(data, guestPayloadBytes)) reader.write(encodeGuestFrame(stream, part));
}

/** Sessions of a simulated machine. */
export class SimulatedSessions {
  readonly all = new Map<string, SimulatedSession>();
  /** Programs that are not there. */
  missing = new Set<string>();

  start(request: GuestExecRequest): GuestExecResult {
    const program = request.argv[0] ?? '';
    if (this.missing.has(program))
      throw new ApiError('command_not_started', `executable not found: ${program}`);
    const session = new SimulatedSession(request);
    this.all.set(request.id ?? '', session);
    return session.result();
  }

  get(id: string): SimulatedSession {
    const session = this.all.get(id);
    if (session === undefined) throw new ApiError('exec_not_found', `no session ${id}`);
    return session;
  }

  detachAll(): void {
    for (const session of this.all.values()) session.detachAll();
  }

  signal(id: string, signal: number): object {
    const session = this.get(id);
    if (session.exitCode !== undefined) throw new ApiError('session_ended', 'it has ended');
    session.signals.push(signal);
    // Like a shell that ignores a hang-up.
    if (signal !== 1) session.exit(128 + signal);
    return {};
  }

  resize(id: string, size: { cols: number; rows: number }): object {
    const session = this.get(id);
    if (session.size === undefined) throw new ApiError('not_terminal', 'it has no terminal');
    session.size = size;
    return {};
  }
}
