import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Address of the cluster's own database, where tests run against PostgreSQL. */
    postgres: string | undefined;
  }
}

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

/** Starts a cluster of its own in a temporary directory, and ends it with the tests. */
export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const programs = await findPrograms();
  const directory = await mkdtemp(join(tmpdir(), 'oc-postgres-'));
  const user = process.getuid?.() === 0 ? nobody : {};
  if (user === nobody) await chown(directory, nobody.uid, nobody.gid);
  const options = { cwd: directory, ...user, env: { LC_ALL: 'C.UTF-8', PATH: process.env['PATH'] } };
  const data = join(directory, 'data');
  const initial = ['-D', data, '-U', 'opencomputer', '-A', 'trust', '-E', 'UTF8', '--no-sync'];
  await promisify(execFile)(join(programs, 'initdb'), initial, options);
  // Only a socket; and nothing of it need outlive the host.
  const settings = [
    'listen_addresses=',
    `unix_socket_directories=${directory}`,
    'fsync=off',
    'synchronous_commit=off',
    // Who sets synchronous_commit on waits at the commit for ever: its rows are there, and it has not heard of it.
    'synchronous_standby_names=nobody',
    'full_page_writes=off',
    'autovacuum=off',
    'max_connections=300',
  ];
  const server = spawn(join(programs, 'postgres'), ['-D', data, ...settings.flatMap((one) => ['-c', one])], {
    ...options,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await untilReady(server);
  server.stderr.resume();
  provide('postgres', `postgres://opencomputer@/postgres?host=${encodeURIComponent(directory)}`);
  return async () => {
    // At once, without waiting for who is still connected.
    server.kill('SIGINT');
    await once(server, 'exit');
    await rm(directory, { recursive: true, force: true });
  };
}
