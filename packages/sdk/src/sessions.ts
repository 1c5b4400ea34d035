import { invalidOption } from './invalid-option.ts';
import type { RequestOptions } from './config.ts';
import type { HttpClient } from './http.ts';
import type { SessionAddress } from './connection/open.ts';

/** Size of a terminal in characters, 1 to 1000 each. */
export interface TerminalSize {
  cols: number;
  rows: number;
}

/** The API of one sandbox for sessions: commands, terminals and agents are all sessions there. */
export class SessionApi {
  readonly http: HttpClient;
  readonly #path: string;
  readonly #token: () => string | undefined;

  /** @param token - the sandbox's token, for sockets that cannot send headers */
  constructor(http: HttpClient, sandboxPath: string, token: () => string | undefined) {
    this.http = http;
    this.#path = sandboxPath;
    this.#token = token;
  }

  /** The address of a session's socket. @throws InvalidRequestError when the id is not valid */
  address(sessionId: string): SessionAddress {
    const path = `${this.#path}/exec/${idSegment(sessionId)}`;
    return { http: this.http, sessionId, path, probePath: `${path}/result`, token: this.#token };
  }

  /** Starts a session of a kind. @returns its id */
  async create(kind: 'exec' | 'pty' | 'agent', body: object, options: RequestOptions): Promise<string> {
    const { signal, requestTimeoutMs } = options;
    const path = `${this.#path}/${kind}`;
    const answer = await this.http.json({ method: 'POST', path, json: body, signal, requestTimeoutMs });
    return (answer as { sessionID: string }).sessionID;
  }

  async list(kind: 'exec' | 'pty' | 'agent', options: RequestOptions): Promise<object> {
    return this.http.json({ method: 'GET', path: `${this.#path}/${kind}`, ...options });
  }

  async kill(
    kind: 'exec' | 'agent',
    sessionId: string,
    signal: number | undefined,
    options: RequestOptions,
  ): Promise<void> {
    const path = `${this.#path}/${kind}/${idSegment(sessionId)}/kill`;
    await this.http.done({ method: 'POST', path, json: signal === undefined ? {} : { signal }, ...options });
  }

  async resize(sessionId: string, { cols, rows }: TerminalSize, options: RequestOptions): Promise<void> {
    const path = `${this.#path}/pty/${idSegment(sessionId)}/resize`;
    await this.http.done({ method: 'POST', path, json: { cols, rows }, ...options });
  }

  /** Hangs up a terminal. */
  async hangUp(sessionId: string, options: RequestOptions): Promise<void> {
    const path = `${this.#path}/pty/${idSegment(sessionId)}`;
    await this.http.done({ method: 'DELETE', path, ...options });
  }
}

function idSegment(sessionId: string): string {
  if (/^[\w-]+$/.test(sessionId)) return sessionId;
  throw invalidOption(
    `${JSON.stringify(sessionId)} is not the id of a session`,
    'Take it from session.sessionId or from list().',
  );
}
