import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { countsUp, LiveClient, startSession } from '../support/live-client.ts';
import { fileSandbox } from '../support/shared.ts';

const counting = 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done';

describe('a session in a machine', () => {
  const sandbox = fileSandbox({ memoryMB: 512 });

  test('prints to two streams, replays for those who come late and tells its exit code', async () => {
    const { id, client } = await LiveClient.start(sandbox(), 'sh', ['-c', 'echo out; echo err >&2; exit 7']);
    expect((await client.end()).code).toBe(1000);
    const seen = (one: LiveClient) => [one.output(1).toString(), one.output(2).toString(), one.exitCode];
    expect(seen(client)).toEqual(['out\n', 'err\n', 7]);
    const late = await LiveClient.attach(sandbox(), `exec/${id}`);
    expect((await late.end()).code).toBe(1000);
    expect([...seen(late), late.count('replayed')]).toEqual(['out\n', 'err\n', 7, 1]);
  });

  test('gives back every byte that it reads, and sees the end of its input', async () => {
    const { client } = await LiveClient.start(sandbox(), 'cat');
    const data = randomBytes(6 * 1024 * 1024);
    client.send(data);
    client.endInput();
    expect((await client.end()).code).toBe(1000);
    expect(client.output().equals(data)).toBe(true);
    expect(client.exitCode).toBe(0);
  });

  test('outlives its clients, which find again what it printed', async () => {
    const { id, client } = await LiveClient.start(sandbox(), counting);
    await client.until('lines', () => client.output().toString().includes('\n5\n'));
    client.close();
    const second = await LiveClient.attach(sandbox(), `exec/${id}`);
    await second.until('more', () => second.output().length > client.output().length + 20);
    expect(countsUp(second.output().toString())).toBe(true);
    await sandbox().call('POST', `/exec/${id}/kill`, { json: {} });
    await second.end();
    expect(second.exitCode).toBe(137);
  });

  test('goes on through hibernation and wake; its client sees neither loss nor doubling', async () => {
    const { client } = await LiveClient.start(sandbox(), 'sh', ['-c', counting]);
    await client.until('lines', () => client.output().toString().includes('\n5\n'));
    expect((await sandbox().call('POST', '/hibernate')).status).toBe(200);
    const before = client.output().length;
    expect((await sandbox().call('POST', '/wake', { json: {} })).status).toBe(200);
    await client.until('lines after the wake', () => client.output().length > before + 100);
    expect(countsUp(client.output().toString())).toBe(true);
    expect([client.closed, client.count('replayed')]).toEqual([undefined, 1]);
    client.close();
  });

  test('input wakes a hibernated sandbox and arrives once', async () => {
    const { client } = await LiveClient.start(sandbox(), 'cat');
    client.send('before ');
    await client.until('echo', () => client.output().toString() === 'before ');
    expect((await sandbox().call('POST', '/hibernate')).status).toBe(200);
    client.send('after');
    await client.until('echo after the wake', () => client.output().toString() === 'before after');
    expect((await sandbox().info()).status).toBe('running');
    client.endInput();
    await client.end();
  });

  test('a million lines arrive whole', async () => {
    const { client } = await LiveClient.start(sandbox(), 'seq', ['0', '999999']);
    expect((await client.end()).code).toBe(1000);
    const text = client.output().toString();
    expect(text.length).toBe(6_888_890);
    expect(countsUp(text)).toBe(true);
  });

  test('a deleted sandbox says so to its clients', async () => {
    const other = await sandbox().api.create({ memoryMB: 256 });
    const { client } = await LiveClient.start(other, 'cat');
    await other.delete();
    expect((await client.end()).code).toBe(1001);
  });
});

describe('a terminal in a machine', () => {
  const sandbox = fileSandbox({ memoryMB: 256 });

  test('is one: keys, Ctrl-C, size, and the end of its shell', async () => {
    const opened = await sandbox().call('POST', '/pty', { json: { cols: 100, rows: 30 } });
    expect(opened.status).toBe(201);
    const path = `pty/${String(opened.body['sessionID'])}`;
    const client = await LiveClient.attach(sandbox(), path);
    await client.until('a prompt', () => client.screen.includes('$'));
    client.sendRaw('stty size; tty; echo $TERM\n');
    await client.until('the size', () => client.screen.includes('30 100'));
    await client.until('the type', () => /\/dev\/pts\/\d+\s+xterm-256color/.test(client.screen));
    // As in conformance: the program says itself that it runs.
    client.sendRaw("sh -c 'echo begin$((1 + 1)); exec sleep 1000'\n");
    await client.until('it sleeps', () => client.screen.includes('begin2'));
    client.sendRaw('\x03');
    client.sendRaw('echo interrupt=$?\n');
    await client.until('Ctrl-C', () => client.screen.includes('interrupt=130'));
    expect((await sandbox().call('POST', `/${path}/resize`, { json: { cols: 77, rows: 11 } })).status).toBe(
      200,
    );
    client.sendRaw('stty size\n');
    await client.until('the new size', () => client.screen.includes('11 77'));
    const second = await LiveClient.attach(sandbox(), path, '&replay=1');
    await second.until('the screen', () => second.screen.includes('11 77'));
    client.sendRaw('exit 3\n');
    expect([(await client.end()).code, (await second.end()).code]).toEqual([1000, 1000]);
  });

  test('is closed although what runs in it does not want to', async () => {
    const opened = await sandbox().call('POST', '/pty', { json: {} });
    const path = `/pty/${String(opened.body['sessionID'])}`;
    const client = await LiveClient.attach(sandbox(), path.slice(1));
    client.sendRaw('trap "" HUP TERM; echo trapped=yes\n');
    await client.until('the trap', () => client.screen.includes('trapped=yes\r\n'));
    expect((await sandbox().call('DELETE', path)).status).toBe(204);
    expect((await client.end()).code).toBe(1000);
  });
});

describe('many at once', () => {
  const sandbox = fileSandbox({ memoryMB: 512 });

  test('a hundred clients of one sandbox get every byte', async () => {
    const id = await startSession(sandbox(), 'sh', ['-c', 'read go; seq 0 20000']);
    const clients = await Promise.all(
      Array.from({ length: 100 }, () => LiveClient.attach(sandbox(), `exec/${id}`)),
    );
    clients[0]?.send('go\n');
    await Promise.all(clients.map((client) => client.end()));
    const whole = clients.filter((client) => countsUp(client.output().toString()) && client.bytes > 108_000);
    expect(whole).toHaveLength(100);
  });
});
