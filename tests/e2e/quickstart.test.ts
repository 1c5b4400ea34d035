import { existsSync } from 'node:fs';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { removeNetwork, tracesOf } from '../support/host.ts';
import { outcomeOf, type Outcome } from '../support/oc.ts';
import { freePort, freshDataDir, sharedCacheDir } from '../support/platform.ts';

const root = join(import.meta.dirname, '../..');

describe('the quick start', () => {
  let dataDir: string;
  let home: string;
  let url: string;
  let env: NodeJS.ProcessEnv;
  let guidance: string;

  const run = (program: string, args: string[], more: NodeJS.ProcessEnv = {}, cwd = root): Promise<Outcome> =>
    outcomeOf(spawn(program, args, { cwd, env: { ...env, ...more } }));

  beforeAll(async () => {
    dataDir = await freshDataDir();
    home = await mkdtemp(join(tmpdir(), 'oc-home-'));
    const listen = `127.0.0.1:${await freePort()}`;
    url = `http://${listen}`;
    env = {
      ...process.env,
      // As on a host that has nothing of ours.
      OPENCOMPUTER_API_URL: undefined,
      OPENCOMPUTER_API_KEY: undefined,
      HOME: home,
      OPENCOMPUTER_LISTEN: listen,
      OPENCOMPUTER_DATA_DIR: dataDir,
      OPENCOMPUTER_CACHE_DIR: sharedCacheDir,
    };
  });
  afterAll(async () => {
    await run('npm', ['stop']);
    await removeNetwork(dataDir);
    await rm(dataDir, { recursive: true });
    await rm(home, { recursive: true });
  });

  test('ends with a platform that runs, after a command in a first sandbox', async () => {
    const { exitCode, stdout, stderr } = await run('./quickstart.sh', []);
    guidance = stdout.toString();
    expect(exitCode, stderr).toBe(0);
    expect(guidance).toMatch(/said: Hello from Linux .* on sb-[0-9a-f]{8}\n/);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
  });

  test('a second time leaves the platform as it is', async () => {
    const pidFile = join(dataDir, 'opencomputer.pid');
    const before = await run('cat', [pidFile]);
    expect(before.exitCode, `${pidFile} is there: ${String(existsSync(pidFile))}`).toBe(0);
    const { exitCode, stdout, stderr } = await run('./quickstart.sh', []);
    expect(exitCode, stderr).toBe(0);
    expect(stdout.toString()).toContain(`OpenComputer runs at ${url}.`);
    expect((await run('cat', [pidFile])).stdout).toEqual(before.stdout);
  });

  test('the program that it prints works, and oc knows where the platform is', async () => {
    const program = /cat > hello.mjs <<'EOF'\n([\s\S]*?)\n {2}EOF/
      .exec(guidance)?.[1]
      ?.replaceAll(/^ {2}/gm, '');
    await writeFile(join(home, 'hello.mjs'), program ?? '');
    await symlink(join(root, 'node_modules'), join(home, 'node_modules'));
    const exports = [...guidance.matchAll(/^ {2}export .*$/gm)].map(([line]) => line.trim()).join('\n');
    const hello = await run('bash', ['--norc', '-euc', `${exports}\nnode hello.mjs`], {}, home);
    expect([hello.exitCode, hello.stderr]).toEqual([0, '']);
    expect(hello.stdout.toString()).toMatch(/^Hello from Linux sb-/);
    const made = await run('./oc', ['create']);
    expect([made.exitCode, made.stderr]).toEqual([0, '']);
    const killed = await run('./oc', ['kill', made.stdout.toString().trim()]);
    expect([killed.exitCode, killed.stderr]).toEqual([0, '']);
  });

  test('what it started can be stopped', async () => {
    const { exitCode } = await run('npm', ['stop']);
    expect(exitCode).toBe(0);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
    expect(tracesOf(dataDir).processes).toEqual([]);
  });
});
