import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { eventually, expectBetween, TestServer } from '../testing/harness.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(() => void (server.worker.calls.length = 0));

const read = async (id: string) => (await server.call('GET', `/api/sandboxes/${id}`)).json;
const asked = (): number => server.worker.calls.filter((call) => call === 'GET use').length;
const hibernated = (id: string) =>
  eventually('hibernated', async () => (await read(id)).status === 'hibernated', 20_000);

async function start(id: string, body: object) {
  const answer = await server.call('POST', `/api/sandboxes/${id}/exec`, body);
  expect(answer.status).toBe(201);
  return server.worker.machine(id).sessions.get(answer.json.sessionID);
}

describe('a sandbox with an idle timeout', () => {
  test('stays awake while a session runs that prints nothing, says why, and hibernates after its end', async () => {
    const id = await server.create({ timeout: 1 });
    const session = await start(id, { cmd: 'npm', args: ['ci'] });
    await eventually('asked again and again', () => asked() >= 3, 20_000);
    expect(await read(id)).toMatchObject({
      status: 'running',
      keptAwakeBy: { sessionID: session.request.id, command: 'npm ci', sessions: 1 },
    });
    session.exit(0);
    await hibernated(id);
    expect(await read(id)).not.toHaveProperty('keptAwakeBy');
    expect((await read(id)).statusReason).toBe('idle for 1 s');
  });

  test('is not kept awake by a service in the background, nor by a terminal at its prompt', async () => {
    const id = await server.create({ timeout: 1 });
    await start(id, { cmd: 'serve', keepAwake: false });
    expect((await server.call('POST', `/api/sandboxes/${id}/pty`, {})).status).toBe(201);
    await hibernated(id);
  });

  test('refuses a keepAwake that is neither true nor false', async () => {
    const id = await server.create();
    const answer = await server.call('POST', `/api/sandboxes/${id}/exec`, { cmd: 'x', keepAwake: 'no' });
    expect([answer.status, answer.json.code]).toEqual([400, 'invalid_request']);
    expect(answer.json.error).toContain('keepAwake');
  });
});

describe('a restart of the server', () => {
  /** Stops the server, puts last uses back by an hour, and starts it. */
  async function restartAnHourLater(ids: readonly string[]): Promise<void> {
    await server.stopServer();
    const store = await server.openStore();
    await store
      .updateTable('sandboxes')
      .set((eb) => ({ last_active_at: eb('last_active_at', '-', 3_600_000) }))
      .where('id', 'in', ids)
      .execute();
    await store.destroy();
    await server.startServer();
  }

  test('honours deadlines that have passed meanwhile, once it has asked what is in use', async () => {
    const before = Date.now();
    const [idle, busy, other] = [
      await server.create({ timeout: 600 }),
      await server.create({ timeout: 600 }),
      await server.create({ timeout: 7200 }),
    ];
    await start(busy, { cmd: 'build' });
    await restartAnHourLater([idle, busy, other]);
    await hibernated(idle);
    await eventually('asked', () => asked() >= 2);
    expect((await read(busy)).status).toBe('running');
    expect((await read(other)).status).toBe('running');
    const end = Date.parse((await read(other)).endAt);
    expectBetween(end - 7_200_000 + 3_600_000, before, Date.now());
    for (const id of [busy, other]) await server.call('DELETE', `/api/sandboxes/${id}`);
  });

  test('leaves what was used just now its time', async () => {
    const id = await server.create({ timeout: 600 });
    await restartAnHourLater([id]);
    await hibernated(id);
    // The wake counts although nothing else was written down before the next restart.
    const before = Date.now();
    expect((await server.call('POST', `/api/sandboxes/${id}/wake`)).status).toBe(200);
    await server.stopServer();
    await server.startServer();
    expectBetween(Date.parse((await read(id)).endAt) - 600_000, before, Date.now());
    expect((await read(id)).status).toBe('running');
  });
});
