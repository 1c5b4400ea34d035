import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import {
  ApiError,
  attachQuerySchema,
  type AttachQuery,
  clientMessageBytes,
  credentialParameters,
  describeIssues,
  describeUnknown,
  type GuestSession,
} from '@opencomputer/protocol';
import { presentedKey } from '../auth/presented-key.ts';
import type { Authenticator } from '../auth/authenticator.ts';
import type { Caller } from '../auth/keys.ts';
import type { Revocations } from '../auth/revocations.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { AttachedSession, type AttachingParts } from './attaching.ts';
import { Bridge } from './bridge.ts';
import { ClientSocket, type ClientTiming } from '../sockets/client.ts';
import type { ClientHub } from '../sockets/hub.ts';
import { CountedForm, type OutputForm, PlainForm, RawForm } from './output.ts';
import { refuseUpgrade } from '../http/raw-answer.ts';
import type { SessionService } from './sessions.ts';
import { isPlausible, readTarget, type Target } from './target.ts';
import type { Upstream } from './upstream.ts';

/** Close code of a client whose key was revoked, in the range of applications: 401 of HTTP. */
const revokedCode = 4401;

export interface UpgradeParts extends AttachingParts {
  readonly sessions: SessionService;
  readonly authenticator: Authenticator;
  readonly revocations: Revocations;
  readonly hub: ClientHub;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly timing: ClientTiming;
  readonly stopping: () => boolean;
}

/** What is to be joined once the client's connection is a WebSocket. */
interface Opened {
  readonly target: Target;
  readonly caller: Caller;
  readonly query: AttachQuery;
  readonly session: GuestSession;
  readonly place: AttachedSession;
  readonly start: string;
  readonly upstream: Upstream;
  readonly release: () => void;
}

interface Asked {
  readonly requestId: string;
  readonly started: number;
  target: Target | undefined;
  owner: string | undefined;
}

/** Turns requests into WebSockets that are joined with sessions. What is wrong is answered before as any request is. */
export class Upgrades {
  readonly #parts: UpgradeParts;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: clientMessageBytes,
    perMessageDeflate: false,
    clientTracking: false,
  });

  constructor(parts: UpgradeParts) {
    this.#parts = parts;
  }

  /** Takes a connection over that asks for an upgrade. */
  async handle(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    const asked: Asked = {
      requestId: randomUUID(),
      started: performance.now(),
      target: undefined,
      owner: undefined,
    };
    let opened: Opened;
    try {
      opened = await this.#open(request, asked);
    } catch (error) {
      return this.#note(asked, refuseUpgrade(socket, error, asked.requestId, this.#parts.log));
    }
    this.#note(asked, 101);
    try {
      await this.#join(opened, request, socket, head, asked.requestId);
    } catch (error) {
      this.#parts.log.error({ err: error, requestId: asked.requestId }, 'a client was broken off');
      socket.destroy();
    }
  }

  async #open(request: IncomingMessage, asked: Asked): Promise<Opened> {
    const { authenticator, sandboxes, machines, sessions, hub, stopping } = this.#parts;
    if (stopping()) throw new ApiError('shutting_down', 'the server is stopping');
    const url = URL.parse(request.url ?? '', 'http://server');
    const target = url === null ? undefined : readTarget(url.pathname);
    if (url === null || target === undefined) throw new ApiError('not_found', 'there is no such WebSocket');
    asked.target = target;
    const { sandboxId, sessionId } = target;
    const credential = presentedKey({
      header: (name) => headerOf(request, name),
      query: (name) => url.searchParams.get(name) ?? undefined,
    });
    const caller = await authenticator.verify(credential, { sandboxId });
    const { owner } = caller;
    asked.owner = owner;
    requireHandshake(request);
    const query = readQuery(url);
    if (!isPlausible(target))
      throw new ApiError('exec_not_found', `no session has the id ${sessionId.slice(0, 64)}`);
    await sandboxes.get(owner, sandboxId);
    const release = hub.admit(sandboxId);
    try {
      const place = new AttachedSession(
        { sandboxes, machines, idle: this.#parts.idle },
        owner,
        sandboxId,
        sessionId,
        query.client,
      );
      const session = await sandboxes.withMachine(owner, sandboxId, () =>
        sessions.find(sandboxId, sessionId, target.kind === 'pty' ? ['pty'] : undefined),
      );
      const start = target.kind === 'pty' ? this.#terminalStart(target, query) : (query.from ?? '0');
      const upstream = await place.attach(start, true);
      if (target.kind === 'pty') sessions.noLongerFresh(sandboxId, sessionId);
      return { target, caller, query, session, place, start, upstream, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** The first to attach to a terminal sees what it printed so far, later ones what it prints from now on. */
  #terminalStart({ sandboxId, sessionId }: Target, { replay }: AttachQuery): string {
    const fresh = this.#parts.sessions.isFresh(sandboxId, sessionId);
    return replay === '1' || (fresh && replay === undefined) ? '0' : 'end';
  }

  async #join(
    { target, caller, query, session, place, start, upstream, release }: Opened,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    requestId: string,
  ): Promise<void> {
    const { hub, log, revocations, timing } = this.#parts;
    const begun = performance.now();
    let client: ClientSocket | undefined;
    const unwatch = revocations.watch(caller.keyId, () =>
      client?.breakOff(revokedCode, 'the API key was revoked'),
    );
    try {
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
        client = new ClientSocket(webSocket, socket, timing);
      });
      // Gone before the handshake was answered.
      if (client === undefined) return;
      hub.add(client);
      const bridge = new Bridge({
        client,
        place,
        output: formOf(target, query, start),
        raw: target.kind === 'pty',
        takesInput: session.stdin || session.tty || !session.running,
        outputIsUse: session.keepAwake,
      });
      const code = await bridge.run(upstream);
      const seconds = Math.round((performance.now() - begun) / 1000);
      const { sandboxId, sessionId } = target;
      log.info(
        { id: sandboxId, sessionId, owner: caller.owner, requestId, code, seconds, bytes: client.bytesSent },
        'detached',
      );
    } finally {
      unwatch();
      upstream.close();
      if (client !== undefined) hub.remove(client);
      release();
    }
  }

  #note({ target, started, requestId, owner }: Asked, status: number): void {
    const { log, metrics } = this.#parts;
    const ms = performance.now() - started;
    const route = target?.route ?? 'none';
    metrics.requests.observe({ method: 'GET', route, status: String(status) }, ms / 1000);
    // Never the query: that may hold a key or a token.
    const about = { route, id: target?.sandboxId.slice(0, 64), status, ms: Math.round(ms * 10) / 10 };
    log.info({ ...about, requestId, owner }, 'upgrade');
  }
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' ? value : undefined;
}

/** What the library would refuse as well, but not in JSON. */
function requireHandshake(request: IncomingMessage): void {
  const key = headerOf(request, 'sec-websocket-key') ?? '';
  const version = headerOf(request, 'sec-websocket-version') ?? '';
  if (request.method !== 'GET' || !/^[+/0-9A-Za-z]{22}==$/.test(key) || !['8', '13'].includes(version))
    throw new ApiError('invalid_request', 'this is not the handshake of a WebSocket (RFC 6455)', {
      hint: 'Connect with a WebSocket client.',
    });
}

function readQuery(url: URL): AttachQuery {
  const known = Object.keys(attachQuerySchema.shape);
  const unknown = [...url.searchParams.keys()].filter(
    (name) => !known.includes(name) && !credentialParameters.includes(name),
  );
  if (unknown.length > 0) throw new ApiError('invalid_request', describeUnknown('parameter', unknown, known));
  const parsed = attachQuerySchema.safeParse(Object.fromEntries(url.searchParams));
  if (parsed.success) return parsed.data;
  throw new ApiError('invalid_request', describeIssues(parsed.error), { cause: parsed.error });
}

function formOf({ kind }: Target, { from }: AttachQuery, start: string): OutputForm {
  if (kind === 'pty') return new RawForm(start);
  return from === undefined ? new PlainForm(start) : new CountedForm(start);
}
