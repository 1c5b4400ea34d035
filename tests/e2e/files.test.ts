import { request } from 'node:http';
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { expectError } from '../support/api.ts';
import { fileSandbox } from '../support/shared.ts';

const q = (path: string): string => `/files?path=${encodeURIComponent(path)}`;

describe('files', () => {
  const sandbox = fileSandbox();

  test('come back byte for byte: every value, nothing, and what is no text', async () => {
    const all = Buffer.from(Array.from({ length: 1024 }, (_, index) => index % 256));
    for (const [name, bytes] of Object.entries({
      all,
      none: Buffer.alloc(0),
      random: randomBytes(300_001),
    })) {
      await sandbox().write(`/tmp/bytes-${name}`, new Uint8Array(bytes));
      expect((await sandbox().read(`/tmp/bytes-${name}`)).equals(bytes), name).toBe(true);
    }
  });

  test('are the user\u2019s own, wherever they are written', async () => {
    await sandbox().write('/app/deep/down/hello.txt', 'Hello');
    const about = "stat -c '%U %G %a' /app /app/deep /app/deep/down /app/deep/down/hello.txt";
    expect(await sandbox().output(about)).toBe(
      'sandbox sandbox 755\nsandbox sandbox 755\nsandbox sandbox 755\nsandbox sandbox 644',
    );
    await sandbox().write('relative/name.txt', 'x');
    expect(await sandbox().output('cat /home/sandbox/relative/name.txt')).toBe('x');
  });

  test('that are overwritten keep their mode and owner, and nobody sees half of them', async () => {
    await sandbox().output('printf old > ~/keep && chmod 700 ~/keep && sudo chown root:root ~/keep');
    await sandbox().write('/home/sandbox/keep', 'new');
    expect(await sandbox().output("stat -c '%a' ~/keep; sudo cat ~/keep")).toBe('700\nnew');
  });

  test('a body that is cut off changes nothing', async () => {
    await sandbox().write('/tmp/whole', 'the old content');
    const url = new URL(sandbox().api.url + sandbox().path + q('/tmp/whole'));
    for (const length of ['content-length', 'chunked'] as const) {
      await new Promise<void>((resolve) => {
        const headers = { 'x-api-key': sandbox().api.key };
        const put = request(url, {
          method: 'PUT',
          headers: length === 'chunked' ? headers : { ...headers, 'content-length': 1_000_000 },
        });
        put.on('error', () => undefined);
        put.once('close', () => resolve());
        put.write(Buffer.alloc(500_000, 'n'), () => put.destroy());
      });
    }
    await sandbox().write('/tmp/after', 'x');
    expect((await sandbox().read('/tmp/whole')).toString()).toBe('the old content');
    const left = await sandbox().output(
      "sudo find /tmp /home/sandbox -newer /etc/machine-id -name '.*' -type f -size +100k",
    );
    expect(left).toBe('');
  });

  test('names that are no UTF-8 do not break a listing', async () => {
    await sandbox().output(
      String.raw`mkdir -p /tmp/names && cd /tmp/names && touch "$(printf 'bad\xff')" 'a b' $'line\nbreak' ü '%41'`,
    );
    const answer = await sandbox().call('GET', '/files/list?path=/tmp/names');
    expect(answer.status).toBe(200);
    const names = (JSON.parse(answer.text) as { name: string; path: string }[]).map(({ name }) => name);
    expect(names).toHaveLength(5);
    expect(names).toEqual(expect.arrayContaining(['a b', 'line\nbreak', 'ü', '%41']));
    for (const name of ['a b', 'line\nbreak', 'ü', '%41'])
      expect((await sandbox().call('GET', q(`/tmp/names/${name}`))).status, JSON.stringify(name)).toBe(200);
  });

  test('directories are made, listed and removed with all that is in them', async () => {
    expect((await sandbox().call('POST', '/files/mkdir?path=/tmp/d/e/f')).status).toBe(204);
    expect((await sandbox().call('POST', '/files/mkdir?path=/tmp/d/e/f')).status).toBe(204);
    await sandbox().output(
      'cd /tmp/d && echo 12345 > file && ln -s /etc/passwd link && ln -s nowhere dangling && mkfifo pipe',
    );
    const list = JSON.parse((await sandbox().call('GET', '/files/list?path=/tmp/d')).text) as object[];
    expect(list).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'e', isDir: true, type: 'directory', path: '/tmp/d/e' }),
        expect.objectContaining({ name: 'file', isDir: false, type: 'file', size: 6 }),
        expect.objectContaining({ name: 'link' }),
        expect.objectContaining({ name: 'dangling' }),
        expect.objectContaining({ name: 'pipe', type: 'other' }),
      ]),
    );
    expect((await sandbox().call('GET', '/files/list?path=/tmp/d/e/f')).text).toBe('[]');
    expect((await sandbox().call('DELETE', q('/tmp/d'))).status).toBe(204);
    expect(await sandbox().output('test -e /tmp/d || echo gone; test -s /etc/passwd && echo kept')).toBe(
      'gone\nkept',
    );
    expect((await sandbox().call('DELETE', q('/tmp/d'))).status).toBe(204);
  });

  test('a symlink is followed for reading and writing', async () => {
    await sandbox().output(
      'echo target > /tmp/target && ln -sf /tmp/target /tmp/alias && ln -sf /tmp/loop /tmp/loop',
    );
    expect((await sandbox().read('/tmp/alias')).toString()).toBe('target\n');
    await sandbox().write('/tmp/alias', 'changed');
    expect(await sandbox().output('cat /tmp/target')).toBe('changed');
    const loop = await sandbox().call('GET', q('/tmp/loop'));
    expect(loop.status).toBeGreaterThanOrEqual(400);
    expect(loop.status).toBeLessThan(500);
  });

  test('what has no content to transfer is refused, without waiting', async () => {
    await sandbox().output(
      'mkfifo /tmp/fifo; python3 -c "import socket; socket.socket(socket.AF_UNIX).bind(\'/tmp/sock\')"',
    );
    for (const path of ['/dev/zero', '/dev/tty', '/tmp/fifo', '/tmp/sock'])
      expectError(await sandbox().call('GET', q(path)), 400, 'not_regular_file');
    expectError(await sandbox().call('PUT', q('/tmp/fifo'), { body: 'x' }), 400, 'not_regular_file');
    // A device takes what is written to it, and stays a device.
    expect((await sandbox().call('PUT', q('/dev/null'), { body: 'x' })).status).toBe(204);
    expect(await sandbox().output('stat -c %F /dev/null')).toBe('character special file');
  });

  test('files of the kernel, which say they are empty, are read to their end', async () => {
    expect((await sandbox().read('/proc/version')).toString()).toMatch(/^Linux version /);
    expect((await sandbox().read('/sys/class/net/eth0/address')).toString()).toMatch(/^[0-9a-f:]{17}\n$/);
    const write = await sandbox().call('PUT', q('/proc/version'), { body: 'x' });
    expect(write.status).toBeGreaterThanOrEqual(400);
    expect(write.body['hint']).toBeTruthy();
  });

  test('what does not fit a path is refused, and nothing is changed', async () => {
    await sandbox().write('/tmp/file', 'content');
    expectError(await sandbox().call('GET', q('/tmp/none')), 404, 'file_not_found');
    expectError(await sandbox().call('GET', q('/tmp')), 400, 'is_directory');
    expectError(await sandbox().call('PUT', q('/tmp'), { body: 'x' }), 400, 'is_directory');
    expectError(await sandbox().call('PUT', q('/tmp/file/below'), { body: 'x' }), 400, 'not_directory');
    expectError(await sandbox().call('POST', '/files/mkdir?path=/tmp/file'), 400, 'not_directory');
    expectError(await sandbox().call('GET', '/files/list?path=/tmp/file'), 400, 'not_directory');
    expectError(await sandbox().call('GET', '/files/list?path=/tmp/none'), 404, 'file_not_found');
    expectError(await sandbox().call('GET', '/files'), 400, 'invalid_path');
    expectError(await sandbox().call('GET', q('/tmp/../etc/passwd')), 400, 'invalid_path');
    expectError(await sandbox().call('GET', q('../../etc/passwd')), 400, 'invalid_path');
    expectError(await sandbox().call('GET', q('/tmp/\0x')), 400, 'invalid_path');
    expectError(await sandbox().call('GET', q(`/tmp/${'x'.repeat(5000)}`)), 400, 'invalid_path');
    expectError(
      await sandbox().call('PUT', q(`/tmp/${'x'.repeat(300)}`), { body: 'x' }),
      400,
      'invalid_path',
    );
    expect((await sandbox().call('DELETE', q('/'))).status).toBeGreaterThanOrEqual(400);
    expect((await sandbox().read('/tmp/file')).toString()).toBe('content');
  });

  test('signed URLs work without a key, for their one file and action', async () => {
    await sandbox().write('/tmp/signed', 'by signature');
    const json = { path: '/tmp/signed' };
    const down = (await sandbox().call('POST', '/files/download-url', { json })).body['url'] as string;
    const up = (await sandbox().call('POST', '/files/upload-url', { json })).body['url'] as string;
    expect(await (await fetch(down)).text()).toBe('by signature');
    expect((await fetch(up, { method: 'PUT', body: 'uploaded' })).status).toBe(204);
    expect((await sandbox().read('/tmp/signed')).toString()).toBe('uploaded');
    expect((await fetch(down.replace('signed', 'other'))).status).toBe(403);
    expect((await fetch(up.replace('/upload?', '/download?'))).status).toBe(403);
  });
});
