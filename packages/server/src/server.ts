import { chmodSync, mkdirSync } from 'node:fs';
import packageFile from '../package.json' with { type: 'json' };
import { createApp } from './api/app.ts';
import { defaultExecTiming, type ExecTiming } from './api/context.ts';
import { ensureFirstKey, type NewKey } from './auth/bootstrap.ts';
import { Authenticator } from './auth/authenticator.ts';
import { KeyVerifier } from './auth/keys.ts';
import { Revocations } from './auth/revocations.ts';
import { SandboxTokens, tokenSecret } from './auth/sandbox-tokens.ts';
import { signingSecret } from './auth/signatures.ts';
import { builtClients, readClients } from './clients.ts';
import { dataFiles, type ServerConfig } from './config.ts';
import { listen } from './http/server.ts';
import { type ClientTiming, defaultClientTiming } from './sockets/client.ts';
import { ClientHub } from './sockets/hub.ts';
import { Upgrades } from './sessions/upgrade.ts';
import { createLog, type Log } from './observe/log.ts';
import { createMetrics } from './observe/metrics.ts';
import { assemble } from './assembly.ts';
import { becomeUser } from './privileges.ts';
import { openStore } from './store/database.ts';
import { lockDirectory } from './store/lock.ts';
import { lockPostgres } from './store/postgres-lock.ts';

/** Milliseconds that requests may take to finish when the server stops. */
const defaultGraceMs = 10_000;

export interface RunningServer {
  readonly url: string;
  /** The first key, when one was generated at this start: to be shown once. */
  readonly newKey: NewKey | undefined;
  /** Never fulfilled; rejected when this server may not go on, since another may use the database. */
  readonly lost: Promise<never>;
  /** Stops accepting, lets requests finish for a while, and closes the database. */
  close(): Promise<void>;
}

export interface StartOptions {
  readonly log?: Log;
  readonly timing?: ExecTiming;
  readonly clientTiming?: ClientTiming;
  /** Milliseconds that requests may take to finish when the server stops. Default 10,000. */
  readonly graceMs?: number;
  /** Directory of the packages of the clients that are handed out. */
  readonly clients?: string;
}

/**
 * Starts the control plane. Started as root with a user to become, all that it does as root is to open the port: what
 * is in its directory is that user's, who may have put links there.
 * @throws Error that names what is wrong: another server on the data directory, a taken address, a bad database.
 */
export async function startServer(config: ServerConfig, options: StartOptions = {}): Promise<RunningServer> {
  const log = options.log ?? createLog(config.logLevel);
  const files = dataFiles(config.dataDirectory);
  await using stack = new AsyncDisposableStack();
  const http = await listen(config.listen);
  stack.defer(() => http.close(0));
  // The program's files may be closed to the user that this process becomes.
  const clients = readClients(options.clients ?? builtClients, packageFile.version);
  if (config.runAs !== undefined) becomeUser(config.runAs);
  makeDirectory(files.directory);
  const lock = lockDirectory(files.lock, config.dataDirectory);
  stack.defer(() => lock.release());
  const { promise: lost, reject: lose } = Promise.withResolvers<never>();
  // Nobody may be waiting yet when it comes.
  lost.catch(() => undefined);
  if (config.databaseUrl !== undefined) {
    const databaseLock = await lockPostgres(config.databaseUrl, lose);
    stack.defer(() => databaseLock.release());
  }
  const store = await openStore(config.databaseUrl ?? files.database, log);
  stack.defer(() => store.destroy());
  const newKey = await ensureFirstKey(store, config.apiKey, files.apiKey);
  const metrics = createMetrics();
  const assembly = await assemble({ config, store, log, metrics });
  stack.defer(() => assembly.close());
  let stopping = false;
  const tokens = new SandboxTokens(await tokenSecret(store));
  const authenticator = new Authenticator(new KeyVerifier(store), tokens);
  const revocations = new Revocations(store, log);
  stack.defer(() => revocations.close());
  const app = createApp({
    ...assembly.services,
    store,
    log,
    metrics,
    authenticator,
    revocations,
    tokens,
    installation: { region: config.region, sandboxDomain: config.sandboxDomain },
    shape: { cpuCountMax: config.maxCpu, memoryMBMax: config.maxMemoryMB },
    publicUrl: config.publicUrl,
    signingSecret: await signingSecret(store),
    version: packageFile.version,
    clients,
    stopping: () => stopping,
    timing: options.timing ?? defaultExecTiming,
  });
  const clientTiming = options.clientTiming ?? defaultClientTiming;
  const hub = new ClientHub(clientTiming.lookMs);
  const upgrades = new Upgrades({
    ...assembly.services,
    authenticator,
    revocations,
    hub,
    log,
    metrics,
    timing: clientTiming,
    stopping: () => stopping,
  });
  http.serve(app.fetch, (request, socket, head) => void upgrades.handle(request, socket, head));
  // Before what the requests need is closed.
  stack.defer(() => http.close(options.graceMs ?? defaultGraceMs));
  stack.defer(() => hub.close());
  log.info({ url: http.url, dataDirectory: config.dataDirectory }, 'listening');
  const owned = stack.move();
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    stopping = true;
    closed ??= owned.disposeAsync();
    return closed;
  };
  return { url: http.url, newKey, lost, close };
}

/** @throws Error when it belongs to somebody else, or cannot be made. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700);
  } catch (error) {
    throw new Error(
      `cannot use ${path} as user ${process.getuid?.()}: ${(error as Error).message}; make it and give it to that user`,
      { cause: error },
    );
  }
}
