import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { eventually } from '@opencomputer/testing/eventually';
import { addKey } from '../support/keys.ts';
import { TestPlatform } from '../support/platform.ts';

const serverUser = 299_999;

/** Runs a shell script as whoever has taken over the server. */
function asServer(script: string): void {
  const user = [`--reuid=${serverUser}`, `--regid=${serverUser}`, '--clear-groups'];
  execFileSync('setpriv', [...user, '--no-new-privs', '--bounding-set=-all', '--', 'sh', '-ec', script]);
}

/** A directory that is root's alone, with a file in it. */
function rootOnly() {
  const directory = mkdtempSync(join(tmpdir(), 'oc-root-only-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'file');
  writeFileSync(file, 'of root', { mode: 0o600 });
  return { directory, file };
}

describe('whoever takes over the server', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await TestPlatform.start({ env: { OPENCOMPUTER_WARM_NETWORKS: '1' } });
  });
  afterAll(() => platform?.destroy());

  const server = (name: string): string => join(platform.dataDir, 'server', name);

  /** Kills the server, and waits until another one has been started, and has perhaps ended. */
  async function restart(): Promise<void> {
    const before = platform.log.length;
    await platform.crash('server');
    await eventually('a server is started', () => {
      const since = platform.log.slice(before);
      return since.includes('"msg":"listening"') || /the server ended \(code/.test(since);
    });
  }

  test('is an ordinary user who can gain nothing', () => {
    const status = readFileSync(`/proc/${platform.part('server')?.pid}/status`, 'utf8');
    const line = (name: string): string =>
      new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, 'm').exec(status)?.[1] ?? '?';
    expect(line('Uid').split('\t')).toEqual(Array(4).fill(String(serverUser)));
    expect(line('Gid').split('\t')).toEqual(Array(4).fill(String(serverUser)));
    expect(line('Groups')).toBe('');
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      expect([set, Number(`0x${line(set)}`)]).toEqual([set, 0]);
    expect(line('NoNewPrivs')).toBe('1');
  });

  test('owns no file of root after a restart, by a link in its directory', async () => {
    const { file } = rootOnly();
    asServer(`ln -s ${file} ${server('zz')}`);
    await restart();
    await platform.ready();
    expect(lstatSync(file)).toMatchObject({ uid: 0, gid: 0, size: 7 });
    asServer(`rm ${server('zz')}`);
  });

  test.each(['opencomputer.db', 'opencomputer.db-wal', 'server.lock'])(
    'makes root open or create nothing by a link in place of %s',
    async (name) => {
      const { directory, file } = rootOnly();
      for (const target of [file, join(directory, 'made')]) {
        // What stands in its place is kept, so that the platform goes on afterwards.
        asServer(`mkdir -p ${server('kept')}; for f in ${server(name)}*; do mv "$f" ${server('kept')}; done`);
        asServer(`ln -s ${target} ${server(name)}`);
        await restart();
        await addKey(platform.dataDir, 'by-root', 'by-root').catch(() => undefined);
        expect(lstatSync(file)).toMatchObject({ uid: 0, gid: 0, size: 7 });
        expect(existsSync(join(directory, 'made'))).toBe(false);
        asServer(`rm -f ${server(name)}*; mv ${server('kept')}/* ${server('')}`);
        await platform.crash('server');
        await platform.ready();
      }
    },
  );

  test('has lost nothing by it', async () => {
    expect(await platform.addKey('more', 'more')).toMatch(/^osb_/);
    const sandbox = await platform.api.create();
    expect(await sandbox.output('echo on')).toBe('on');
  });
});

test('an installation whose files are still those of root starts', async () => {
  const first = await TestPlatform.start({ env: { OPENCOMPUTER_WARM_NETWORKS: '1' } });
  let platform = first;
  onTestFinished(() => platform.destroy());
  const key = await first.addKey('kept', 'kept');
  await first.stop();
  execFileSync('chown', ['-R', 'root:root', join(first.dataDir, 'server'), join(first.dataDir, 'api-key')]);
  platform = await first.startAgain();
  expect(lstatSync(join(platform.dataDir, 'server')).uid).toBe(serverUser);
  expect((await fetch(`${platform.url}/api/sandboxes`, { headers: { 'x-api-key': key } })).status).toBe(200);
});
