import { execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile as readHostFile,
  rm,
  writeFile as writeHostFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { ApiError, type Identity, type ListedFile } from '@opencomputer/protocol';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { failureOf, scratchDirectory, until } from '../testing/scratch.ts';
import { GuestChannel } from './channel.ts';
import { commandResult, signalCommand, startCommand } from './exec.ts';
import { listDirectory, makeDirectory, readFile, removePath, statPath, writeFile } from './files.ts';
import { guestStats, quiesceGuest } from './system.ts';

// The guest agent of machines, on a socket of this host.
const execute = promisify(execFile);
const source = join(import.meta.dirname, '../../../../agent');
const mebibyte = 1024 * 1024;
const forever = new AbortController().signal;
const hasGo = await execute('go', ['version']).then(
  () => true,
  () => false,
);
const obstacle = !hasGo
  ? 'go is not installed'
  : process.getuid?.() === 0
    ? undefined
    : 'the agent must be root';
if (obstacle !== undefined) process.stderr.write(`the agent's tests are skipped: ${obstacle}\n`);

let directory = '';

beforeAll(async () => {
  if (obstacle !== undefined) return;
  directory = await mkdtemp(join(tmpdir(), 'opencomputer-agent-'));
  await execute('go', ['build', '-o', join(directory, 'agent'), '.'], {
    cwd: source,
    env: { ...process.env, CGO_ENABLED: '0' },
  });
});

afterAll(async () => {
  if (directory !== '') await rm(directory, { recursive: true, force: true });
});

/** Starts a guest agent for the running test. */
async function startAgent(identity?: Identity): Promise<{ channel: GuestChannel; etc: string }> {
  const scratch = await scratchDirectory();
  const etc = join(scratch, 'etc');
  await mkdir(etc);
  await writeHostFile(join(etc, 'hosts'), '127.0.0.1 localhost\n127.0.1.1 old\n');
  const socketPath = join(scratch, 'agent.sock');
  const child = spawn(
    join(directory, 'agent'),
    ['-listen', `unix:${socketPath}`, '-root', scratch, '-init', 'systemd'],
    {
      stdio: 'ignore',
    },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  const channel = new GuestChannel({ socketPath, identity: () => identity });
  onTestFinished(() => channel.close());
  return { channel, etc };
}

async function run(channel: GuestChannel, line: string): Promise<[number | null, string, string]> {
  const result = await startCommand(channel, { argv: ['sh', '-c', line], user: 'root', cwd: '/' });
  expect(result.running).toBe(false);
  const text = (base64: string): string => Buffer.from(base64, 'base64').toString();
  return [result.exitCode, text(result.stdout), text(result.stderr)];
}

async function bytesOf(stream: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await failureOf(promise);
  if (!(error instanceof ApiError)) throw error;
  return error.code;
}

describe.skipIf(obstacle !== undefined)('the real agent', () => {
  test('takes the identity at the handshake', async () => {
    const { channel, etc } = await startAgent({
      hostname: 'sb-01234567',
      machineId: 'ab'.repeat(16),
      env: { FROM_IDENTITY: 'yes' },
    });
    await channel.session();
    expect(channel.agent).toMatchObject({ protocol: 1, init: 'systemd' });
    expect((await readHostFile(join(etc, 'machine-id'), 'utf8')).trim()).toBe('ab'.repeat(16));
    expect((await readHostFile(join(etc, 'hostname'), 'utf8')).trim()).toBe('sb-01234567');
    expect(await run(channel, 'echo $FROM_IDENTITY')).toEqual([0, 'yes\n', '']);
  });

  test('runs commands: output apart, exit code, signal, timeout, failure to start', async () => {
    const { channel } = await startAgent();
    expect(await run(channel, 'echo out; echo err >&2; exit 3')).toEqual([3, 'out\n', 'err\n']);
    expect((await run(channel, 'kill -9 $$'))[0]).toBe(137);
    const late = await startCommand(channel, {
      argv: ['sleep', '60'],
      user: 'root',
      cwd: '/',
      timeoutMs: 50,
    });
    expect(late).toMatchObject({ timedOut: true, exitCode: -1 });
    expect(await codeOf(startCommand(channel, { argv: ['/missing'], user: 'root', cwd: '/' }))).toBe(
      'command_not_started',
    );
    expect(await codeOf(startCommand(channel, { argv: ['true'], user: 'root', cwd: '/missing' }))).toBe(
      'command_not_started',
    );
  });

  test('bytes of every value pass through a command’s output', async () => {
    const { channel } = await startAgent();
    const result = await startCommand(channel, {
      argv: ['head', '-c', '300000', '/dev/urandom'],
      user: 'root',
      cwd: '/',
    });
    expect(Buffer.from(result.stdout, 'base64')).toHaveLength(300_000);
    expect(result.truncated).toBe(false);
  });

  test('commands outlive the connection; results are asked for later, under their own id', async () => {
    const { channel } = await startAgent();
    const started = await startCommand(channel, {
      id: '0123abcd',
      argv: ['sh', '-c', 'echo before; read line < /dev/null; sleep 0.2; echo after'],
      user: 'root',
      cwd: '/',
      waitMs: 0,
    });
    expect(started).toMatchObject({ id: '0123abcd', running: true, exitCode: null });
    channel.hangUp();
    const ended = await commandResult(channel, '0123abcd', 10_000);
    expect(ended).toMatchObject({ running: false, exitCode: 0 });
    expect(Buffer.from(ended.stdout, 'base64').toString()).toBe('before\nafter\n');
    expect(await codeOf(commandResult(channel, 'ffffffff', 0))).toBe('exec_not_found');
    expect(await codeOf(signalCommand(channel, '0123abcd', 15))).toBe('session_ended');
    expect(await codeOf(signalCommand(channel, 'ffffffff', 15))).toBe('exec_not_found');
  });

  test('a signal reaches the command', async () => {
    const { channel } = await startAgent();
    const { id } = await startCommand(channel, { argv: ['sleep', '60'], user: 'root', cwd: '/', waitMs: 0 });
    await signalCommand(channel, id, 15);
    expect(await commandResult(channel, id, 10_000)).toMatchObject({ running: false, exitCode: 143 });
  });

  test('files: write, read, list, stat, make, remove', async () => {
    const { channel } = await startAgent();
    const root = await scratchDirectory();
    const path = `${root}/new/dir/ü ?&#%+\n.bin`;
    const content = randomBytes(3 * mebibyte + 17);
    await writeFile(channel, path, Readable.from([content]), { length: content.length, signal: forever });
    const { stream, length } = await readFile(channel, path, forever);
    expect(length).toBe(content.length);
    expect((await bytesOf(stream)).equals(content)).toBe(true);
    expect(await statPath(channel, path)).toMatchObject({
      type: 'file',
      size: content.length,
      isDir: false,
      path,
    });
    await makeDirectory(channel, `${root}/b/c`);
    await writeHostFile(`${root}/[{}]"`, 'x');
    const { entries, truncated } = await listDirectory(channel, root, forever);
    const listed: ListedFile[] = [];
    for await (const some of entries) listed.push(...some);
    expect([listed.map(({ name, isDir }) => [name, isDir]), truncated]).toEqual([
      [
        ['[{}]"', false],
        ['b', true],
        ['new', true],
      ],
      false,
    ]);
    await removePath(channel, `${root}/new`);
    await removePath(channel, `${root}/new`);
    expect(existsSync(`${root}/new`)).toBe(false);
    expect((await guestStats(channel)).processes).toBeGreaterThan(0);
  });

  test('what cannot be is refused by its own name', async () => {
    const { channel } = await startAgent();
    const root = await scratchDirectory();
    await writeHostFile(join(root, 'file'), 'x');
    const read = (path: string): Promise<string> => codeOf(readFile(channel, path, forever));
    expect(await read(`${root}/missing`)).toBe('file_not_found');
    expect(await read(root)).toBe('is_directory');
    expect(await read('relative')).toBe('invalid_path');
    expect(await read(`/${'x'.repeat(5000)}`)).toBe('invalid_path');
    expect(await codeOf(listDirectory(channel, `${root}/file`, forever))).toBe('not_directory');
    expect(await codeOf(makeDirectory(channel, `${root}/file`))).toBe('not_directory');
    expect(await codeOf(removePath(channel, '/'))).toBe('forbidden');
  });

  test('a large upload onto a directory is refused while it comes', async () => {
    const { channel } = await startAgent();
    const root = await scratchDirectory();
    const content = Readable.from(
      (function* parts() {
        for (let index = 0; index < 1024; index++) yield Buffer.alloc(mebibyte);
      })(),
    );
    expect(await codeOf(writeFile(channel, root, content, { length: undefined, signal: forever }))).toBe(
      'is_directory',
    );
    content.destroy();
  });

  test('an upload that is cut off leaves the old file and nothing else', async () => {
    const { channel } = await startAgent();
    const root = await scratchDirectory();
    await writeHostFile(join(root, 'file'), 'old');
    const content = new PassThrough();
    const writing = failureOf(
      writeFile(channel, `${root}/file`, content, { length: undefined, signal: forever }),
    );
    content.write(Buffer.alloc(mebibyte));
    // The draft of the upload has no name to look for; our side has sent everything.
    await until(() => content.readableLength === 0 && content.writableLength === 0);
    content.destroy(new Error('cut off'));
    expect(await writing).toBeInstanceOf(ApiError);
    await guestStats(channel);
    expect(await readdir(root)).toEqual(['file']);
    expect(await readHostFile(join(root, 'file'), 'utf8')).toBe('old');

    const short = codeOf(
      writeFile(channel, `${root}/file`, Readable.from(['four']), { length: 5, signal: forever }),
    );
    expect(await short).not.toBe('');
    expect(await readHostFile(join(root, 'file'), 'utf8')).toBe('old');
  });

  test('quiesced it takes no calls until it is called anew', async () => {
    const { channel } = await startAgent();
    await quiesceGuest(channel, { sync: false });
    expect(await codeOf(guestStats(channel))).toBe('guest_failed');
    channel.hangUp();
    expect((await guestStats(channel)).uptimeMs).toBeGreaterThan(0);
  });

  test('a gigabyte each way passes whole and in constant memory', async () => {
    const { channel } = await startAgent();
    const root = await scratchDirectory();
    const size = 1024 * mebibyte;
    const marker = randomBytes(4096);
    const file = await open(join(root, 'big'), 'w');
    await file.truncate(size);
    await file.write(marker, 0, marker.length, size - marker.length);
    await file.close();

    const before = process.memoryUsage();
    let most = 0;
    const sampling = setInterval(() => {
      const now = process.memoryUsage();
      most = Math.max(most, now.external + now.heapUsed - before.external - before.heapUsed);
    }, 20);
    onTestFinished(() => clearInterval(sampling));
    const { stream, length } = await readFile(channel, join(root, 'big'), forever);
    expect(length).toBe(size);
    let received = 0;
    let tail = Buffer.alloc(0);
    await pipeline(
      stream,
      new Writable({
        write: (part: Buffer, _encoding, done) => {
          received += part.length;
          if (received > size - 2 * mebibyte) tail = Buffer.concat([tail, part]);
          done();
        },
      }),
    );
    expect(received).toBe(size);
    expect(tail.subarray(-marker.length).equals(marker)).toBe(true);

    const chunk = Buffer.alloc(256 * 1024, 'upload');
    const hash = createHash('sha256');
    const parts = (function* upload() {
      for (let sent = 0; sent < size; sent += chunk.length) yield chunk;
    })();
    await writeFile(channel, '/dev/null', Readable.from(parts), { length: size, signal: forever });
    // And once, smaller, to a real file, to compare its content.
    const small = Array.from({ length: 128 }, () => chunk);
    for (const part of small) hash.update(part);
    await writeFile(channel, join(root, 'small'), Readable.from(small), {
      length: undefined,
      signal: forever,
    });
    expect(
      createHash('sha256')
        .update(await readHostFile(join(root, 'small')))
        .digest('hex'),
    ).toBe(hash.digest('hex'));
    clearInterval(sampling);
    expect(most).toBeLessThan(200 * mebibyte);
  });
});
