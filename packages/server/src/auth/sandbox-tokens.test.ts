import { sign } from 'hono/jwt';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { TestClient } from '../testing/client.ts';
import { TestServer } from '../testing/harness.ts';
import { tokenSecret } from './sandbox-tokens.ts';

async function start(environment: Record<string, string> = {}) {
  const server = await TestServer.start(environment);
  onTestFinished(() => server[Symbol.asyncDispose]());
  const created = (await server.call('POST', '/api/sandboxes', {})).json;
  const path = `/api/sandboxes/${created.sandboxID}`;
  const as = (token: string) => ({ 'x-api-key': '', authorization: `Bearer ${token}` });
  return { server, id: created.sandboxID as string, token: created.token as string, created, path, as };
}

describe('the token of a sandbox', () => {
  test('comes with the answers of those who may have it', async () => {
    const { server, id, path, token, created } = await start();
    expect(created.connectURL).toBe(`${server.url}/api`);
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    expect(claims).toMatchObject({ iss: 'opensandbox', org_id: claims.sub, sandbox_id: id });
    expect(claims.exp - claims.iat).toBe(24 * 3600);
    expect((await server.call('GET', path)).json.token).toEqual(expect.any(String));
    expect((await server.call('POST', `${path}/wake`, {})).json.connectURL).toBe(`${server.url}/api`);
    const fork = await server.call('POST', `${path}/fork`, {});
    expect([fork.status, typeof fork.json.token]).toEqual([201, 'string']);
    expect((await server.call('GET', '/api/sandboxes')).json[0]).not.toHaveProperty('token');
    await server.call('DELETE', path);
    expect((await server.call('GET', path)).json).not.toHaveProperty('token');
  });

  test('names the address that is configured', async () => {
    const { created } = await start({ OPENCOMPUTER_PUBLIC_URL: 'https://computers.example/' });
    expect(created.connectURL).toBe('https://computers.example/api');
  });

  test('opens the data plane of its sandbox, in every place that it may be in', async () => {
    const { server, id, path, token, as } = await start();
    const run = { cmd: 'echo', args: ['hi'] };
    expect((await server.call('POST', `${path}/exec/run`, run, as(token))).json.stdout).toBe('hi\n');
    expect((await server.call('POST', `${path}/exec/run`, run, { 'x-api-key': token })).status).toBe(200);
    for (const name of ['token', 'api_key'])
      expect(
        (await server.call('GET', `${path}/exec?${name}=${token}`, undefined, { 'x-api-key': '' })).status,
      ).toBe(200);
    expect((await server.call('POST', `${path}/timeout`, { timeout: 60 }, as(token))).status).toBe(204);
    const refreshed = await server.call('POST', `${path}/token/refresh`, undefined, as(token));
    expect(refreshed.status).toBe(200);
    const { json } = await server.call('POST', `${path}/exec`, { cmd: 'x' }, as(refreshed.json.token));
    await TestClient.connect(server, `${id}/exec/${json.sessionID}?token=${token}`, {});
    await TestClient.connect(server, `${id}/exec/${json.sessionID}?api_key=${token}`, { 'x-api-key': token });
  });

  test('opens nothing else', async () => {
    const { server, path, token, as } = await start();
    const other = await server.create();
    for (const [method, target] of [
      ['GET', '/api/sandboxes'],
      ['POST', '/api/sandboxes'],
      ['GET', path],
      ['DELETE', path],
      ['POST', `${path}/hibernate`],
      ['POST', `${path}/checkpoints`],
      ['GET', '/metrics'],
      ['GET', `/api/sandboxes/${other}/exec`],
      ['POST', `/api/sandboxes/${other}/token/refresh`],
    ] as const) {
      const { status, json } = await server.call(method, target, undefined, as(token));
      expect([target, status, json.code]).toEqual([target, 403, 'forbidden']);
    }
    const refused = await TestClient.refused(
      server,
      `/api/sandboxes/${other}/exec/00000000?token=${token}`,
      {},
    );
    expect(refused).toEqual({ status: 403, code: 'forbidden' });
  });

  test('is useless when it has expired, was made elsewhere, or its sandbox is deleted', async () => {
    const { server, id, path, token, as } = await start();
    const store = await server.openStore();
    const secret = await tokenSecret(store);
    await store.destroy();
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: 'opensandbox', sub: 'default', sandbox_id: id, exp: now + 60 };
    const status = async (bad: string) =>
      (await server.call('GET', `${path}/exec`, undefined, as(bad))).status;
    expect(await status(await sign(claims, secret))).toBe(200);
    expect(await status(await sign({ ...claims, exp: now - 1 }, secret))).toBe(401);
    expect(await status(await sign({ ...claims, iss: 'other' }, secret))).toBe(401);
    expect(await status(await sign(claims, 'another secret'))).toBe(401);
    expect(await status(await sign({ iss: 'opensandbox', sub: 'default', sandbox_id: id }, secret))).toBe(
      401,
    );
    expect(await status(await sign({ ...claims, sub: 'somebody else' }, secret))).toBe(404);
    const none = `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${token.split('.')[1]}.`;
    expect(await status(none)).toBe(401);
    await server.call('DELETE', path);
    expect(await status(token)).toBe(410);
  });

  test('is in no log, wherever it was shown', async () => {
    const { server, id, path, token } = await start();
    const written: string[] = [];
    await server.stopServer();
    server.log = pino({ level: 'trace' }, { write: (line: string) => void written.push(line) });
    await server.startServer();
    const { json } = await server.call('POST', `${path}/exec`, { cmd: 'x' });
    const client = await TestClient.connect(server, `${id}/exec/${json.sessionID}?token=${token}`, {});
    client.socket.close();
    await client.end();
    await TestClient.refused(server, `/api/sandboxes/${id}/exec/ffffffff?api_key=${server.key}`, {});
    await server.call('GET', `${path}/exec?token=${token}`, undefined, { 'x-api-key': '' });
    const metrics = await server.call('GET', '/metrics');
    const all = written.join('') + metrics.text;
    expect(all).toContain('upgrade');
    expect([all.includes(token), all.includes(server.key)]).toEqual([false, false]);
  });
});
