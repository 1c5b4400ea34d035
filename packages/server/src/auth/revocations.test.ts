import { sign } from 'hono/jwt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { TestClient } from '../testing/client.ts';
import { eventually, TestServer } from '../testing/harness.ts';
import { addKey, revokeKey } from './keys.ts';
import { tokenSecret } from './sandbox-tokens.ts';

const week = 7 * 24 * 3600;
const now = (): number => Math.floor(Date.now() / 1000);

/** A sandbox of a key that another process can revoke, as the command does. */
async function start() {
  const server = await TestServer.start();
  onTestFinished(() => server[Symbol.asyncDispose]());
  const store = await server.openStore();
  onTestFinished(() => store.destroy());
  const { key, row } = await addKey(store, 'intruder', 'acme');
  const other = await addKey(store, 'colleague', 'acme');
  const created = (await server.call('POST', '/api/sandboxes', {}, { 'x-api-key': key })).json;
  const id = created.sandboxID as string;
  return {
    server,
    key,
    row,
    id,
    token: created.token as string,
    colleague: other.key,
    path: `/api/sandboxes/${id}`,
    secret: await tokenSecret(store),
    revoke: () => revokeKey(store, row.id),
  };
}

const as = (token: string) => ({ 'x-api-key': token });
const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());

describe('when a key is revoked, so is what it opened:', () => {
  test('the tokens that it got, and those that they got', async () => {
    const { server, path, token, colleague, revoke } = await start();
    const renewed = (await server.call('POST', `${path}/token/refresh`, undefined, as(token))).json.token;
    const kept = (await server.call('GET', path, undefined, as(colleague))).json.token;
    for (const valid of [token, renewed, kept])
      expect((await server.call('GET', `${path}/exec`, undefined, as(valid))).status).toBe(200);
    await revoke();
    for (const late of [token, renewed])
      await eventually('refused', async () => {
        const { status, json } = await server.call('GET', `${path}/exec`, undefined, as(late));
        return status === 401 && /revoked/.test(json.error);
      });
    expect((await server.call('GET', `${path}/exec`, undefined, as(kept))).status).toBe(200);
  });

  test('the URLs that it signed, also through a token', async () => {
    const { server, path, key, token, colleague, revoke } = await start();
    const sign = async (credential: string): Promise<string> =>
      (await server.call('POST', `${path}/files/download-url`, { path: '/a' }, as(credential))).json.url;
    await server.call('PUT', `${path}/files?path=/a`, 'text', as(key));
    const urls = [await sign(key), await sign(token)];
    const kept = await sign(colleague);
    for (const url of [...urls, kept]) expect((await fetch(url)).status).toBe(200);
    await revoke();
    for (const url of urls) await eventually('refused', async () => (await fetch(url)).status === 403);
    expect((await fetch(kept)).status).toBe(200);
    // The key is part of what is signed.
    const forged = new URL(urls[0] ?? '');
    forged.searchParams.set('key', new URL(kept).searchParams.get('key') ?? '');
    expect((await fetch(forged)).status).toBe(403);
    forged.searchParams.delete('key');
    expect((await fetch(forged)).status).toBe(403);
  });

  test('WebSockets, by key or by token, with a code and a reason; those of other keys stay', async () => {
    const { server, id, path, key, token, colleague, revoke } = await start();
    const { json } = await server.call('POST', `${path}/exec`, { cmd: 'cat' }, as(key));
    const attach = (credential: string) =>
      TestClient.connect(server, `${id}/exec/${json.sessionID}`, as(credential));
    const [byKey, byToken, kept] = [await attach(key), await attach(token), await attach(colleague)];
    await revoke();
    for (const client of [byKey, byToken])
      expect(await client.end()).toEqual({ code: 4401, reason: 'the API key was revoked' });
    kept.type('still here');
    await kept.until('it goes on', (client) => client.output().includes('still here'));
    expect(kept.closed).toBeUndefined();
  });

  test('logs that are followed', async () => {
    const { server, path, key, revoke } = await start();
    const response = await fetch(`${server.url}${path}/logs`, { headers: as(key) });
    await eventually('it follows', () => server.worker.logReaders === 1);
    const read = response.text();
    await revoke();
    await expect(read).rejects.toThrow();
    await eventually('nobody reads', () => server.worker.logReaders === 0);
  });
});

describe('a token', () => {
  test('renews itself for a week from the one that a key got, and no longer', async () => {
    const { server, id, path, row, token, secret } = await start();
    const first = claimsOf(token);
    expect(first).toMatchObject({ key_id: row.id, auth_time: first.iat });
    const renew = (old: string) => server.call('POST', `${path}/token/refresh`, undefined, as(old));
    const began = now() - week + 3600;
    const base = { iss: 'opensandbox', sub: 'acme', sandbox_id: id, key_id: row.id, auth_time: began };
    const old = await sign({ ...base, exp: now() + 60 }, secret);
    const renewed = claimsOf((await renew(old)).json.token);
    expect(renewed).toMatchObject({ auth_time: began, exp: began + week });
    const signed = await server.call(
      'POST',
      `${path}/files/upload-url`,
      { path: '/a', expiresIn: 80_000 },
      as(old),
    );
    expect(Date.parse(signed.json.expiresAt) / 1000).toBe(began + week);
  });

  test('of an earlier release is good until it expires, and gets nothing that lives longer', async () => {
    const { server, id, path, secret } = await start();
    const exp = now() + 600;
    const old = await sign(
      { iss: 'opensandbox', sub: 'acme', sandbox_id: id, iat: exp - 86_400, exp },
      secret,
    );
    const renewed = claimsOf(
      (await server.call('POST', `${path}/token/refresh`, undefined, as(old))).json.token,
    );
    expect(renewed.exp).toBe(exp);
    expect(renewed).not.toHaveProperty('key_id');
    const signed = await server.call(
      'POST',
      `${path}/files/download-url`,
      { path: '/a', expiresIn: 9000 },
      as(old),
    );
    expect(Date.parse(signed.json.expiresAt) / 1000).toBe(exp);
  });
});
