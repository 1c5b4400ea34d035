import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { TestClient } from '../testing/client.ts';
import { eventually, TestServer } from '../testing/harness.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

async function attached(cmd = 'program', query = '') {
  const id = await server.create({ timeout: 0 });
  const { json } = await server.call('POST', `/api/sandboxes/${id}/exec`, { cmd });
  const sid: string = json.sessionID;
  const client = await TestClient.connect(server, `${id}/exec/${sid}${query}`);
  await client.until('replayed', (one) => one.count('replayed') === 1);
  const session = server.worker.machine(id).sessions.get(sid);
  return { id, client, session, path: `/api/sandboxes/${id}` };
}

describe('a client stays attached', () => {
  test('through connections that break, with neither loss nor doubling', async () => {
    const { client, session } = await attached();
    let printed = '';
    let typed = '';
    for (let round = 0; round < 10; round++) {
      for (let line = 0; line < 20; line++) {
        const text = `${round}.${line}\n`;
        session.print(text);
        client.type(text);
        printed += text;
        typed += text;
      }
      server.worker.cutAttached();
      session.print(`away ${round}\n`);
      printed += `away ${round}\n`;
    }
    await client.until('all of it', (one) => one.output().length >= printed.length);
    await eventually('all input', () => session.text.length >= typed.length);
    session.exit(0);
    await client.end();
    expect(client.output()).toBe(printed);
    expect(session.text).toBe(typed);
    expect(client.count('replayed')).toBe(1);
  });

  test('through a restart of the worker', async () => {
    const { client, session } = await attached();
    session.print('before ');
    await server.worker.kill();
    session.print('while away ');
    client.type('typed meanwhile');
    await server.worker.listen();
    await client.until('the rest', (one) => one.output() === 'before while away ');
    await eventually('the input', () => session.text === 'typed meanwhile');
  });

  test('through hibernation, from which it does not keep the sandbox', async () => {
    const { client, session, path, id } = await attached();
    session.print('one ');
    await client.until('output', (one) => one.output() === 'one ');
    expect((await server.call('POST', `${path}/hibernate`)).status).toBe(200);
    expect((await server.call('GET', path)).json.status).toBe('hibernated');
    expect(server.worker.machine(id).info.state).toBe('hibernated');
    await server.call('POST', `${path}/wake`, {});
    session.print('two');
    await client.until('the rest', (one) => one.output() === 'one two');
    expect([client.closed, client.count('replayed')]).toEqual([undefined, 1]);
  });

  test('and is told of hibernation and wake where it can understand that', async () => {
    const { client, session, path, id } = await attached('program', '?from=0');
    const plain = await TestClient.connect(server, `${id}/exec/${session.request.id}`);
    const power = () => client.frames.flatMap((frame) => (frame?.type === 'power' ? [frame.awake] : []));
    for (let round = 1; round <= 2; round += 1) {
      await server.call('POST', `${path}/hibernate`);
      await client.until('told', () => power().length === 2 * round - 1);
      await server.call('POST', `${path}/wake`, {});
      await client.until('told of the wake', () => power().length === 2 * round);
    }
    expect(power()).toEqual([false, true, false, true]);
    session.print('end');
    session.exit(0);
    await Promise.all([client.end(), plain.end()]);
    expect(plain.count('power')).toBe(0);
    expect([client.output(), plain.output()]).toEqual(['end', 'end']);
  });

  test('and is not told of connections that break for other reasons', async () => {
    const { client, session } = await attached('program', '?from=0');
    server.worker.cutAttached();
    session.print('more');
    await client.until('more', (one) => one.output() === 'more');
    expect(client.count('power')).toBe(0);
  });

  test('and wakes a hibernated sandbox with what it types', async () => {
    const { client, session, path } = await attached();
    await server.call('POST', `${path}/hibernate`);
    client.type('hello');
    await eventually('arrived', () => session.text === 'hello');
    expect((await server.call('GET', path)).json.status).toBe('running');
  });

  test('but input that the session does not take wakes nothing', async () => {
    const { client, session, path } = await attached('program', '?from=0');
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    session.takes = false;
    client.type('stuck');
    await eventually('it has come', () => session.left === 'stuck'.length);
    vi.advanceTimersByTime(2001);
    await server.call('POST', `${path}/hibernate`);
    session.takes = true;
    // That is what it is told where its input does not wake the sandbox.
    await client.until('told', (one) => one.count('power') === 1);
    expect((await server.call('GET', path)).json.status).toBe('hibernated');
    await server.call('POST', `${path}/wake`, {});
    await eventually('arrived after the wake', () => session.text === 'stuck');
  });

  test('and is told of what was lost where it counts', async () => {
    const { client, session } = await attached('program', '?from=0');
    session.print('seen');
    await client.until('output', (one) => one.output() === 'seen');
    server.worker.cutAttached();
    session.print('lost');
    session.dropBefore(8);
    session.print('kept');
    await client.until('the rest', (one) => one.output() === 'seenkept');
    expect(client.frames).toContainEqual({ type: 'gap', bytes: 4 });
    expect(client.count('offset')).toBe(1);
  });

  test('until the session is gone', async () => {
    const { client, path } = await attached();
    expect((await server.call('POST', `${path}/reboot`)).status).toBe(204);
    expect(await client.end()).toMatchObject({
      code: 1011,
      reason: expect.stringContaining('session is gone'),
    });
  });

  test('until the sandbox is deleted, or its machine has died', async () => {
    const first = await attached();
    await server.call('DELETE', first.path);
    first.session.detachAll();
    expect(await first.client.end()).toMatchObject({ code: 1001, reason: 'the sandbox was deleted' });
    const second = await attached();
    server.worker.failMachine(second.id, 'its process was killed');
    second.session.detachAll();
    expect(await second.client.end()).toMatchObject({
      code: 1011,
      reason: expect.stringContaining('killed'),
    });
  });
});

describe('a client that', () => {
  test('reads nothing is bounded, and closed in the end; others get everything', async () => {
    await using slow = await TestServer.start();
    await slow.stopServer();
    slow.clientTiming = { pingMs: 30_000, lookMs: 50, stallMs: 500, closeMs: 100 };
    await slow.startServer();
    const id = await slow.create();
    const { json } = await slow.call('POST', `/api/sandboxes/${id}/exec`, { cmd: 'program' });
    const session = slow.worker.machine(id).sessions.get(json.sessionID);
    const stuck = await TestClient.connect(slow, `${id}/exec/${json.sessionID}`);
    const reading = await TestClient.connect(slow, `${id}/exec/${json.sessionID}`);
    stuck.socket.pause();
    for (let turn = 0; turn < 400; turn++) session.print(Buffer.alloc(64 * 1024, 'x'));
    const total = 400 * 64 * 1024;
    await reading.until(
      'all',
      (one) => one.messages.reduce((sum, { length }) => sum + length - 1, 0) >= total,
    );
    await eventually('detached', () => session.attached === 1);
    stuck.socket.resume();
    // 1006 where it was cut off before it could read why.
    expect([1006, 1013]).toContain((await stuck.end()).code);
  });

  test('is silent for several pings is taken for gone; one that answers stays', async () => {
    await using quick = await TestServer.start();
    await quick.stopServer();
    quick.clientTiming = { pingMs: 100, lookMs: 50, stallMs: 60_000, closeMs: 100 };
    await quick.startServer();
    const id = await quick.create();
    const { json } = await quick.call('POST', `/api/sandboxes/${id}/exec`, { cmd: 'program' });
    const session = quick.worker.machine(id).sessions.get(json.sessionID);
    const silent = await TestClient.connect(quick, `${id}/exec/${json.sessionID}`);
    silent.socket.pause();
    const alive = await TestClient.connect(quick, `${id}/exec/${json.sessionID}`);
    await eventually('one left', () => session.attached === 1);
    expect(alive.closed).toBeUndefined();
  });

  test('is attached when the server stops is told to come back', async () => {
    await using own = await TestServer.start();
    const id = await own.create();
    const { json } = await own.call('POST', `/api/sandboxes/${id}/exec`, { cmd: 'program' });
    const client = await TestClient.connect(own, `${id}/exec/${json.sessionID}`);
    await own.stopServer();
    expect((await client.end()).code).toBe(1012);
    await own.startServer();
    const again = await TestClient.connect(own, `${id}/exec/${json.sessionID}`);
    await again.until('replayed', (one) => one.count('replayed') === 1);
  });
});
