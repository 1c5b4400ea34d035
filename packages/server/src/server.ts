import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createApp } from './api/app.ts';
import { defaultExecTiming, type ExecTiming } from './api/context.ts';
import { ensureFirstKey, type NewKey } from './auth/bootstrap.ts';
import { Authenticator } from './auth/authenticator.ts';
import { KeyVerifier } from './auth/keys.ts';
import { SandboxTokens, tokenSecret } from './auth/sandbox-tokens.ts';
import { signingSecret } from './auth/signatures.ts';
import { dataFiles, type ServerConfig } from './config.ts';
import { listen } from './http.ts';
import { type ClientTiming, defaultClientTiming } from './live/client.ts';
import { ClientHub } from './live/hub.ts';
import { Upgrades } from './live/upgrade.ts';
import { createLog, type Log } from './observe/log.ts';
import { createMetrics } from './observe/metrics.ts';
import { startPlatform } from './platform.ts';
import { openStore } from './store/database.ts';
import { lockDirectory } from './store/lock.ts';

/** Milliseconds that requests may take to finish when the server stops. */
const graceMs = 10_000;

export interface RunningServer {
  readonly url: string;
  /** The first key, when one was generated at this start: to be shown once. */
  readonly newKey: NewKey | undefined;
  /** Stops accepting, lets requests finish for up to 10 s, and closes the database. */
  close(): Promise<void>;
}

export interface StartOptions {
  readonly log?: Log;
  readonly timing?: ExecTiming;
  readonly clientTiming?: ClientTiming;
}

/**
 * Starts the control plane.
 * @throws Error that names what is wrong: another server on the data directory, a taken address, a bad database.
 */
export async function startServer(config: ServerConfig, options: StartOptions = {}): Promise<RunningServer> {
  const log = options.log ?? createLog(config.logLevel);
  const files = dataFiles(config.dataDirectory);
  await using stack = new AsyncDisposableStack();
  mkdirSync(files.directory, { recursive: true });
  chmodSync(files.directory, 0o700);
  const lock = lockDirectory(files.lock, config.dataDirectory);
  stack.defer(() => lock.release());
  const store = openStore(files.database);
  stack.defer(() => store.destroy());
  const newKey = await ensureFirstKey(store, config.apiKey, files.apiKey);
  const metrics = createMetrics();
  const platform = await startPlatform({ config, store, log, metrics });
  stack.defer(() => platform.close());
  let stopping = false;
  const tokens = new SandboxTokens(await tokenSecret(store));
  const authenticator = new Authenticator(new KeyVerifier(store), tokens);
  const app = createApp({
    ...platform.services,
    store,
    log,
    metrics,
    authenticator,
    tokens,
    installation: { region: config.region, sandboxDomain: config.sandboxDomain },
    shape: { cpuCountMax: config.maxCpu, memoryMBMax: config.maxMemoryMB },
    publicUrl: config.publicUrl,
    signingSecret: await signingSecret(store),
    version: packageVersion(),
    stopping: () => stopping,
    timing: options.timing ?? defaultExecTiming,
  });
  const hub = new ClientHub();
  const upgrades = new Upgrades({
    ...platform.services,
    authenticator,
    hub,
    log,
    metrics,
    timing: options.clientTiming ?? defaultClientTiming,
    stopping: () => stopping,
  });
  const http = await listen(
    app.fetch,
    config.listen,
    (request, socket, head) => void upgrades.handle(request, socket, head),
  );
  stack.defer(() => http.close(graceMs));
  stack.defer(() => hub.close());
  if (config.runAs !== undefined) dropPrivileges(config.runAs, files);
  log.info({ url: http.url, dataDirectory: config.dataDirectory }, 'listening');
  const owned = stack.move();
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    stopping = true;
    closed ??= owned.disposeAsync();
    return closed;
  };
  return { url: http.url, newKey, close };
}

function packageVersion(): string {
  const file = join(import.meta.dirname, '..', 'package.json');
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
  return version;
}

/** Becomes an ordinary user, who owns the files of the server from then on. */
function dropPrivileges(
  { uid, gid }: { uid: number; gid: number },
  files: ReturnType<typeof dataFiles>,
): void {
  const { setgroups, setgid, setuid, getuid } = process;
  if (getuid?.() !== 0 || !setgroups || !setgid || !setuid) {
    if (getuid?.() === uid) return;
    throw new Error('OPENCOMPUTER_RUN_AS: only root can become another user');
  }
  const inside = readdirSync(files.directory).map((name) => join(files.directory, name));
  for (const path of [files.directory, ...inside, files.apiKey])
    if (existsSync(path)) chownSync(path, uid, gid);
  setgroups.call(process, [gid]);
  setgid.call(process, gid);
  setuid.call(process, uid);
}
