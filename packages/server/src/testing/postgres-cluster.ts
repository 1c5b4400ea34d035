import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** PostgreSQL refuses to run as root: then it is nobody's. */
const nobody = { uid: 65_534, gid: 65_534 };
const installed = '/usr/lib/postgresql';

async function findPrograms(): Promise<string> {
  const versions = (await readdir(installed).catch(() => [])).filter((name) => Number(name) >= 15);
  const newest = versions.toSorted((a, b) => Number(b) - Number(a))[0];
  if (newest === undefined)
    throw new Error(`there is no PostgreSQL 15 or newer in ${installed}: apt-get install postgresql-15`);
  return join(installed, newest, 'bin');
}

/** Waits until it says that it takes connections. @throws Error with what it said when it ends first */
async function untilReady(server: ChildProcess): Promise<void> {
  let said = '';
  for await (const chunk of server.stderr ?? []) {
    said += String(chunk);
    if (said.includes('database system is ready to accept connections')) return;
  }
  throw new Error(`PostgreSQL did not start: ${said}`);
}

/** What tests need not outlive, which makes it quick. */
const forgetful = [
  ...['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'autovacuum=off'],
  // Who sets synchronous_commit on waits at the commit for ever: its rows are there, and it has not heard of it.
  'synchronous_standby_names=nobody',
];

/** A cluster of PostgreSQL in a temporary directory, reached by a socket alone. */
export class PostgresCluster implements AsyncDisposable {
  /** Address of the cluster's own database. */
  readonly url: string;
  readonly #server: ChildProcess;
  readonly #directory: string;

  private constructor(server: ChildProcess, directory: string) {
    this.#server = server;
    this.#directory = directory;
    this.url = `postgres://opencomputer@/postgres?host=${encodeURIComponent(directory)}`;
  }

  /**
   * @param durable false: what is written may be lost with the host
   * @throws Error where PostgreSQL is not installed, or does not start
   */
  static async start(durable: boolean): Promise<PostgresCluster> {
    const programs = await findPrograms();
    const directory = await mkdtemp(join(tmpdir(), 'oc-postgres-'));
    const user = process.getuid?.() === 0 ? nobody : {};
    if (user === nobody) await chown(directory, nobody.uid, nobody.gid);
    const options = { cwd: directory, ...user, env: { LC_ALL: 'C.UTF-8', PATH: process.env['PATH'] } };
    const data = join(directory, 'data');
    const initial = ['-D', data, '-U', 'opencomputer', '-A', 'trust', '-E', 'UTF8', '--no-sync'];
    await promisify(execFile)(join(programs, 'initdb'), initial, options);
    const settings = [
      ...['listen_addresses=', `unix_socket_directories=${directory}`, 'max_connections=300'],
      ...(durable ? [] : forgetful),
    ];
    const args = ['-D', data, ...settings.flatMap((one) => ['-c', one])];
    const server = spawn(join(programs, 'postgres'), args, {
      ...options,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await untilReady(server);
    server.stderr.resume();
    return new PostgresCluster(server, directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // At once, without waiting for who is still connected.
    this.#server.kill('SIGINT');
    await once(this.#server, 'exit');
    await rm(this.#directory, { recursive: true, force: true });
  }
}
