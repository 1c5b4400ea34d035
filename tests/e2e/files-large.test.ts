import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { expectError } from '../support/api.ts';
import { MemoryWatch } from '../support/memory.ts';
import { fileSandbox, sharedPids } from '../support/shared.ts';

const mebibyte = 1024 * 1024;
/** Several times what may be held. */
const total = 400 * mebibyte;
/** Windows and buffers on the way, and the slack of the garbage collector. */
const boundMB = 130;

/** A body that is not the same everywhere, made as it is sent. */
function body(bytes: number, hash: ReturnType<typeof createHash>): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      if (sent >= bytes) return controller.close();
      const chunk = Buffer.alloc(Math.min(mebibyte, bytes - sent), `block ${sent} `);
      hash.update(chunk);
      sent += chunk.length;
      controller.enqueue(new Uint8Array(chunk));
    },
  });
}

describe('large files', () => {
  const sandbox = fileSandbox();

  test('go up and down whole, in constant memory', async () => {
    const sentHash = createHash('sha256');
    using watch = new MemoryWatch(sharedPids());
    const put = await sandbox().call('PUT', '/files?path=/home/sandbox/large', {
      body: body(total, sentHash),
    });
    expect(put.status).toBe(204);
    const sent = sentHash.digest('hex');
    expect(watch.growthMB).toBeLessThan(boundMB);

    const receivedHash = createHash('sha256');
    let received = 0;
    const response = await fetch(`${sandbox().api.url}${sandbox().path}/files?path=/home/sandbox/large`, {
      headers: { 'x-api-key': sandbox().api.key },
    });
    expect(response.headers.get('content-length')).toBe(String(total));
    for await (const chunk of response.body ?? []) {
      receivedHash.update(chunk);
      received += chunk.length;
    }
    expect(received).toBe(total);
    expect(receivedHash.digest('hex')).toBe(sent);
    expect(watch.growthMB).toBeLessThan(boundMB);
    await sandbox().output('rm ~/large');
  }, 400_000);

  test('a reader that stops reading does not fill anybody\u2019s memory, and its end is noticed', async () => {
    await sandbox().output('head -c 400M /dev/zero > ~/zeros');
    using watch = new MemoryWatch(sharedPids());
    const response = await fetch(`${sandbox().api.url}${sandbox().path}/files?path=/home/sandbox/zeros`, {
      headers: { 'x-api-key': sandbox().api.key },
    });
    const reader = response.body?.getReader();
    await reader?.read();
    // Other calls go on beside the one that stands still.
    for (let round = 0; round < 10; round++)
      expect(await sandbox().output(`echo ${round}`)).toBe(String(round));
    expect(watch.growthMB).toBeLessThan(boundMB);
    await reader?.cancel();
    expect(await sandbox().output('rm ~/zeros; echo goes on')).toBe('goes on');
  });

  test('a full disk is told as such, leaves the old content, and the sandbox goes on', async () => {
    await sandbox().write('/home/sandbox/precious', 'old');
    const fill =
      'free=$(df --output=avail -B1 / | tail -1); sudo fallocate -l $((free - 8*1024*1024)) /filler; df --output=avail -BM / | tail -1';
    const avail = await sandbox().output(fill, { timeout: 120 });
    expect(Number.parseInt(avail, 10)).toBeLessThan(64);
    const answer = await sandbox().call('PUT', '/files?path=/home/sandbox/precious', {
      body: body(100 * mebibyte, createHash('sha256')),
    });
    expectError(answer, 507, 'no_space');
    expect((await sandbox().read('/home/sandbox/precious')).toString()).toBe('old');
    expect(await sandbox().output('sudo rm /filler; echo still here')).toBe('still here');
    await sandbox().write('/home/sandbox/precious', 'new');
    expect((await sandbox().read('/home/sandbox/precious')).toString()).toBe('new');
  });
});
