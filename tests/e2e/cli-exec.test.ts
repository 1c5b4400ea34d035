import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '@opencomputer/testing/eventually';
import { Oc, outcomeOf } from '../support/oc.ts';
import { fileSandbox } from '../support/shared.ts';

const sandbox = fileSandbox();
let oc: Oc;
beforeAll(async () => {
  oc = await Oc.make();
});
afterAll(async () => oc.remove());

describe('oc exec', () => {
  test('keeps the streams apart and ends with the exit code', async () => {
    const { exitCode, stdout, stderr } = await oc.run(
      'exec',
      sandbox().id,
      '--',
      'sh',
      '-c',
      'echo out; echo err >&2; exit 7',
    );
    expect([exitCode, stdout.toString(), stderr]).toEqual([7, 'out\n', 'err\n']);
  });

  test('passes bytes as they are, both ways, to the last one', async () => {
    const bytes = randomBytes(3_000_001);
    const { exitCode, stdout } = await oc.runWithInput(bytes, 'exec', sandbox().id, '--', 'cat');
    expect(exitCode).toBe(0);
    expect(stdout.equals(bytes)).toBe(true);
  });

  test('ends input where there is none', async () => {
    const { exitCode, stdout } = await oc.run('exec', sandbox().id, '--no-stdin', '--', 'wc', '-c');
    expect([exitCode, stdout.toString()]).toEqual([0, '0\n']);
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('passes %s on', async (signal) => {
    const name = signal.slice(3);
    const child = oc.spawn(
      'exec',
      sandbox().id,
      '--',
      'bash',
      '-c',
      `trap 'echo got; exit 40' ${name}; echo ready; while :; do sleep 0.1; done`,
    );
    const ended = outcomeOf(child);
    await once(child.stdout, 'data');
    child.kill(signal);
    const { exitCode, stdout } = await ended;
    expect([exitCode, stdout.toString()]).toEqual([40, 'ready\ngot\n']);
  });

  test('ends the command when nobody reads its output any more', async () => {
    const { stdout, stderr } = await oc.shell(`oc exec ${sandbox().id} -- yes | head -n 1`);
    expect([stdout.toString(), stderr]).toEqual(['y\n', '']);
    await eventually('the command ends', async () => {
      const { exitCode } = await oc.run('exec', sandbox().id, '--', 'pgrep', '-x', 'yes');
      return exitCode === 1;
    });
  });

  test('lets a command run on, and comes back to it', async () => {
    const started = await oc.run(
      'exec',
      sandbox().id,
      '--detach',
      '--',
      'sh',
      '-c',
      'echo begin; sleep 2; echo end; exit 3',
    );
    const session = started.stdout.toString().trim();
    expect(session).toMatch(/^[0-9a-f]{8}$/);
    const { exitCode, stdout } = await oc.run('exec', 'attach', sandbox().id, session);
    expect([exitCode, stdout.toString()]).toEqual([3, 'begin\nend\n']);
    const list = await oc.run('exec', 'list', sandbox().id, '--json');
    expect(JSON.parse(list.stdout.toString())).toContainEqual(
      expect.objectContaining({ sessionID: session, exitCode: 3 }),
    );
  });

  test('prints the result as JSON', async () => {
    const { exitCode, stdout } = await oc.run('exec', sandbox().id, '--json', '--', 'echo', "it's");
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout.toString())).toMatchObject({ exitCode: 0, stdout: "it's\n", stderr: '' });
  });
});

describe('oc cp', () => {
  test('keeps content, permissions and links of folders', async () => {
    const folder = join(oc.home, 'tree');
    await mkdir(join(folder, 'in ner'), { recursive: true });
    const bytes = randomBytes(500_000);
    await writeFile(join(folder, 'in ner/data'), bytes);
    await writeFile(join(folder, 'program'), '#!/bin/sh\necho ran\n');
    await chmod(join(folder, 'program'), 0o750);
    await symlink('program', join(folder, 'link'));
    const up = await oc.run('cp', 'tree', `${sandbox().id}:/app/`);
    expect([up.exitCode, up.stderr]).toEqual([0, '']);
    expect(await sandbox().output('/app/tree/link; stat -c "%a %U" /app/tree/program')).toBe(
      'ran\n750 sandbox',
    );
    const down = await oc.run('cp', `${sandbox().id}:/app/tree`, 'back');
    expect([down.exitCode, down.stderr]).toEqual([0, '']);
    expect((await readFile(join(oc.home, 'back/in ner/data'))).equals(bytes)).toBe(true);
    expect((await stat(join(oc.home, 'back/program'))).mode & 0o777).toBe(0o750);
  });

  test('leaves no trace in logs and lists, in either direction', async () => {
    const password = randomBytes(16).toString('hex');
    const folder = join(oc.home, 'secrets');
    await mkdir(folder);
    await writeFile(join(folder, 'env'), `first line\nPASSWORD=${password}\nlast line\n`, { mode: 0o600 });
    for (const args of [
      ['cp', 'secrets', `${sandbox().id}:/tmp/`],
      ['cp', `${sandbox().id}:/tmp/secrets`, 'again'],
      ['cp', join('secrets', 'env'), `${sandbox().id}:/tmp/single`],
    ])
      expect(await oc.run(...args)).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await readFile(join(oc.home, 'again/env'), 'utf8')).toContain(password);
    const quiet = await oc.run('exec', sandbox().id, '--no-log', '--', 'cat', '/tmp/secrets/env');
    expect(quiet.stdout.toString()).toContain(password);
    const usual = await oc.run('exec', sandbox().id, '--', 'echo', 'the log goes on');
    expect(usual.exitCode).toBe(0);
    const logs = async () => (await oc.run('logs', sandbox().id, '--no-tail')).stdout.toString();
    await eventually('what is logged to be there', async () => (await logs()).includes('the log goes on'));
    expect(await logs()).not.toContain(password);
    expect(await logs()).not.toContain('first line');
    const sessions = await sandbox().call('GET', '/exec');
    const listed = (JSON.parse(sessions.text) as { command: string; args: string[] }[]).map(
      ({ command, args }) => `${command} ${args.join(' ')}`,
    );
    expect(listed).toContain('cat /tmp/secrets/env');
    for (const words of listed) expect(words).not.toMatch(/tar|sudo|chmod/);
  });

  test('gives what a link leads to its own permissions, less the umask', async () => {
    await sandbox().output(
      'cd /tmp && echo text > target && chmod 640 target && ln -s target link && echo open > open && chmod 666 open',
    );
    for (const name of ['link', 'open'])
      expect(await oc.run('cp', `${sandbox().id}:/tmp/${name}`, '.')).toMatchObject({
        exitCode: 0,
        stderr: '',
      });
    expect(await readFile(join(oc.home, 'link'), 'utf8')).toBe('text\n');
    const modeOf = async (name: string) => (await stat(join(oc.home, name))).mode & 0o777;
    expect([await modeOf('link'), await modeOf('open')]).toEqual([0o640, 0o666 & ~process.umask()]);
  });

  test('copies single files, standard input and output', async () => {
    await writeFile(join(oc.home, 'one'), 'text', { mode: 0o755 });
    await oc.run('cp', 'one', `${sandbox().id}:sub/`);
    expect(await sandbox().output('cat sub/one; stat -c %a sub/one')).toBe('text755');
    await oc.runWithInput('piped', 'cp', '-', `${sandbox().id}:two`);
    expect((await oc.run('cp', `${sandbox().id}:two`, '-')).stdout.toString()).toBe('piped');
    const missing = await oc.run('cp', `${sandbox().id}:nothing`, '.');
    expect([missing.exitCode, missing.stderr]).toEqual([
      1,
      expect.stringContaining('there is no /home/sandbox/nothing'),
    ]);
  });
});

describe('failures', () => {
  test.each([
    [['sandbox', 'get', 'sb-00000000'], 3, 'not found'],
    [['--api-key', 'osb_wrong', 'ls'], 3, 'oc config set api-key'],
    [['--api-url', 'http://127.0.0.1:8999', 'ls'], 1, 'oc up'],
  ])('%j ends with %i', async (args, code, words) => {
    const { exitCode, stdout, stderr } = await oc.run(...args);
    expect([exitCode, stdout.toString()]).toEqual([code, '']);
    expect(stderr).toContain(words);
    const asJson = await oc.run('--json', ...args);
    expect(JSON.parse(asJson.stderr)).toEqual(
      expect.objectContaining({ error: expect.any(String), code: expect.any(String) }),
    );
  });
});
