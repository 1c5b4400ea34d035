import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import { eventually } from '@opencomputer/testing/eventually';
import { failure, request } from '../raw-api.ts';
import type { Context, Scenario } from './scenario.ts';

const everyByte = Uint8Array.from({ length: 256 }, (_, value) => value);
const MiB = 1024 * 1024;

/** Deterministic bytes that do not compress, and their hash. */
function bigStream(size: number): { stream: ReadableStream<Uint8Array>; hash: Promise<string> } {
  const hash = createHash('sha256');
  const { promise, resolve } = Promise.withResolvers<string>();
  let sent = 0;
  let state = 1;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (sent === size) {
        resolve(hash.digest('hex'));
        return controller.close();
      }
      const words = new Uint32Array(MiB / 4);
      for (let n = 0; n < words.length; n += 1) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        words[n] = state;
      }
      const chunk = new Uint8Array(words.buffer);
      hash.update(chunk);
      sent += chunk.byteLength;
      controller.enqueue(chunk);
    },
  });
  return { stream, hash: promise };
}

/**
 * Reading what is there and no file is refused. `exists` of published clients is the same request and looks at the
 * status alone: so for TypeScript the body breaks off, and Python's client has the refusal for content.
 */
async function refusesToRead({ client, sandbox }: Context, path: string, code: string): Promise<void> {
  const plain = await request('GET', `/api/sandboxes/${sandbox.sandboxId}/files?path=${path}`);
  expect(plain.status).toBe(400);
  expect(await plain.json()).toMatchObject({ code });
  if (client.origin === 'ours') {
    await failure(sandbox.files.read(path), 400);
    await failure(sandbox.files.readBytes(path), 400);
  } else if (client.name === 'published-typescript') {
    await expect(sandbox.files.read(path)).rejects.toThrow('terminated');
    await expect(sandbox.files.readBytes(path)).rejects.toThrow('terminated');
  } else {
    expect(JSON.parse(await sandbox.files.read(path))).toMatchObject({ code });
    const bytes = await sandbox.files.readBytes(path);
    expect(JSON.parse(Buffer.from(bytes).toString())).toMatchObject({ code });
  }
}

export const filesScenarios: Scenario[] = [
  {
    name: 'every byte value comes back',
    async run({ sandbox }) {
      await sandbox.files.write('/tmp/every-byte', everyByte);
      expect(Buffer.from(await sandbox.files.readBytes('/tmp/every-byte')).equals(everyByte)).toBe(true);
    },
  },
  {
    name: 'text comes back, commands see it',
    async run({ sandbox }) {
      const text = 'grüße, 世界 \u{1f600}\r\nno newline at the end';
      await sandbox.files.write('/app/hello.txt', text);
      expect(await sandbox.files.read('/app/hello.txt')).toBe(text);
      expect((await sandbox.exec.run('cat /app/hello.txt')).stdout).toBe(text);
    },
  },
  {
    name: 'an empty file is a file',
    async run({ sandbox }) {
      await sandbox.files.write('/tmp/empty', '');
      expect(await sandbox.files.read('/tmp/empty')).toBe('');
      expect(await sandbox.files.exists('/tmp/empty')).toBe(true);
      await sandbox.files.write('/tmp/empty', new Uint8Array());
      expect(await sandbox.files.readBytes('/tmp/empty')).toHaveLength(0);
    },
  },
  {
    name: '16 MiB as a stream arrive whole, and come back whole',
    async run({ sandbox }) {
      const { stream, hash } = bigStream(16 * MiB);
      await sandbox.files.write('/tmp/big', stream);
      const expected = await hash;
      const { stdout } = await sandbox.exec.run('sha256sum < /tmp/big; stat -c %s /tmp/big', {
        timeout: 120,
      });
      expect(stdout).toBe(`${expected}  -\n${16 * MiB}\n`);
      const back = await sandbox.files.readBytes('/tmp/big');
      expect(createHash('sha256').update(back).digest('hex')).toBe(expected);
      await sandbox.files.remove('/tmp/big');
    },
  },
  {
    name: 'writing again replaces the content, all of it',
    async run({ sandbox }) {
      await sandbox.files.write('/tmp/again', 'a long first content');
      await sandbox.files.write('/tmp/again', 'short');
      expect(await sandbox.files.read('/tmp/again')).toBe('short');
    },
  },
  {
    name: 'a file keeps its mode when it is written again',
    async run({ sandbox }) {
      await sandbox.files.write('/tmp/script', '#!/bin/sh\necho one\n');
      await sandbox.exec.run('chmod 755 /tmp/script');
      await sandbox.files.write('/tmp/script', '#!/bin/sh\necho two\n');
      expect((await sandbox.exec.run('/tmp/script')).stdout).toBe('two\n');
    },
  },
  {
    name: 'names of every kind',
    async run({ sandbox }) {
      const names = [
        'naïve 世界 \u{1f600}',
        'a b&c=d?#%25+;.txt',
        '-rf',
        'quote\'"$(x)`',
        'line\nbreak',
        '...',
      ];
      for (const name of names) {
        await sandbox.files.write(`/tmp/names/${name}`, name);
        expect(await sandbox.files.read(`/tmp/names/${name}`)).toBe(name);
      }
      const listed = (await sandbox.files.list('/tmp/names')).map((entry) => entry.name);
      expect(listed.toSorted()).toEqual(names.toSorted());
      await sandbox.files.remove('/tmp/names');
    },
  },
  {
    name: 'relative paths start at home',
    async run({ sandbox }) {
      await sandbox.files.write('notes/today.txt', 'x');
      expect(await sandbox.files.read('/home/sandbox/notes/today.txt')).toBe('x');
      expect((await sandbox.exec.run('cat notes/today.txt')).stdout).toBe('x');
      await sandbox.files.remove('notes');
    },
  },
  {
    name: 'new files and directories belong to the user of the commands',
    async run({ sandbox }) {
      await sandbox.files.write('/srv/data/deep/file', 'x');
      const { stdout } = await sandbox.exec.run(
        'stat -c "%U %a" /srv/data/deep /srv/data/deep/file; echo y >> /srv/data/deep/file; cat /srv/data/deep/file',
      );
      expect(stdout).toBe('sandbox 755\nsandbox 644\nxy\n');
    },
  },
  {
    name: 'list, makeDir and remove',
    async run({ sandbox }) {
      await sandbox.files.makeDir('/tmp/tree/a/b');
      await sandbox.files.makeDir('/tmp/tree/a/b');
      expect(await sandbox.files.list('/tmp/tree/a/b')).toEqual([]);
      await sandbox.files.write('/tmp/tree/file', '12345');
      const entries = await sandbox.files.list('/tmp/tree');
      expect(entries).toMatchObject([
        { name: 'a', path: '/tmp/tree/a', isDir: true },
        { name: 'file', path: '/tmp/tree/file', isDir: false, size: 5 },
      ]);
      expect((await sandbox.files.list()).map(({ path }) => path)).toContain('/tmp');
      await sandbox.files.remove('/tmp/tree');
      await sandbox.files.remove('/tmp/tree');
      expect((await sandbox.exec.run('test -e /tmp/tree')).exitCode).toBe(1);
    },
  },
  {
    name: 'exists is about whatever is there',
    async run({ sandbox }) {
      expect(await sandbox.files.exists('/etc/passwd')).toBe(true);
      expect(await sandbox.files.exists('/etc/no-such-file')).toBe(false);
      expect(await sandbox.files.exists('/etc/passwd/below')).toBe(false);
      expect(await sandbox.files.exists('/etc')).toBe(true);
      expect(await sandbox.files.exists('/')).toBe(true);
      await sandbox.files.makeDir('data/new');
      expect(await sandbox.files.exists('data/new')).toBe(true);
      await sandbox.files.remove('data');
      expect(await sandbox.files.exists('data/new')).toBe(false);
      expect(await sandbox.files.exists('data')).toBe(false);
    },
  },
  {
    name: 'what is missing, or of the wrong kind, is an error',
    async run(context) {
      const { sandbox } = context;
      await failure(sandbox.files.read('/no/such/file'), 404);
      await failure(sandbox.files.list('/no/such/directory'), 404);
      await refusesToRead(context, '/etc', 'is_directory');
      await failure(sandbox.files.list('/etc/passwd'), 400);
      await failure(sandbox.files.write('/etc', 'x'), 400);
      await failure(sandbox.files.makeDir('/etc/passwd'), 400);
      await failure(sandbox.files.remove('/'), 403);
    },
  },
  {
    name: 'paths that climb, hold NUL or are too long are refused',
    async run({ sandbox }) {
      for (const path of ['../etc/passwd', '/tmp/../etc/passwd', '/tmp/a\0b', `/${'x'.repeat(5000)}`, '']) {
        await failure(sandbox.files.read(path), 400);
        await failure(sandbox.files.write(path, 'x'), 400);
        await failure(sandbox.files.remove(path), 400);
      }
    },
  },
  {
    name: 'what a pipe or a device would hold up is refused',
    async run(context) {
      const { sandbox } = context;
      await sandbox.exec.run('mkfifo /tmp/pipe');
      await refusesToRead(context, '/tmp/pipe', 'not_regular_file');
      expect(await sandbox.files.exists('/tmp/pipe')).toBe(true);
      await sandbox.files.remove('/tmp/pipe');
    },
  },
  {
    name: 'signed URLs work without a key, for one file and one direction',
    async run({ sandbox }) {
      const path = '/tmp/signed & sealed.txt';
      const up = await sandbox.uploadUrl(path);
      expect((await fetch(up, { method: 'PUT', body: 'through a URL' })).status).toBe(204);
      expect(await sandbox.files.read(path)).toBe('through a URL');
      const down = await sandbox.downloadUrl(path, { expiresIn: 60 });
      const answer = await fetch(down);
      expect(answer.status).toBe(200);
      expect(await answer.text()).toBe('through a URL');
      const other = new URL(down);
      other.searchParams.set('path', '/etc/passwd');
      expect((await fetch(other)).status).toBe(403);
      const later = new URL(down);
      later.searchParams.set('expires', String(Number(later.searchParams.get('expires')) + 1));
      expect((await fetch(later)).status).toBe(403);
      const wrongWay = down.replace('/files/download?', '/files/upload?');
      expect((await fetch(wrongWay, { method: 'PUT', body: 'x' })).status).toBe(403);
      expect(await sandbox.files.read(path)).toBe('through a URL');
    },
  },
  {
    name: 'a signed URL ends at its time',
    slow: true,
    async run({ sandbox }) {
      await sandbox.files.write('/tmp/short-lived', 'x');
      const url = await sandbox.downloadUrl('/tmp/short-lived', { expiresIn: 2 });
      await eventually('the URL ends', async () => (await fetch(url)).status === 403);
    },
  },
];
