import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { patchSchema } from '@opencomputer/protocol';
import { TestServer } from '../testing/harness.ts';

let server: TestServer;
let id: string;
beforeAll(async () => {
  server = await TestServer.start();
  id = await server.create();
});
afterAll(() => server[Symbol.asyncDispose]());

let names = 0;
async function checkpoint(): Promise<string> {
  const { json } = await server.call('POST', `/api/sandboxes/${id}/checkpoints`, {
    name: `c${(names += 1)}`,
    kind: 'disk_only',
  });
  return json.id;
}
const patches = (cid: string, rest = '') => `/api/sandboxes/checkpoints/${cid}/patches${rest}`;
async function add(cid: string, script: string, description?: string) {
  const { status, json } = await server.call('POST', patches(cid), { script, description });
  expect(status).toBe(201);
  return patchSchema.parse(json.patch);
}
async function fork(cid: string): Promise<string> {
  const { status, json } = await server.call('POST', `/api/sandboxes/from-checkpoint/${cid}`, {});
  expect(status).toBe(201);
  return json.sandboxID;
}
const read = async (sandbox: string) => (await server.call('GET', `/api/sandboxes/${sandbox}`)).json;
const counter = (sandbox: string) => server.worker.machine(sandbox).memory.count;
async function cycle(sandbox: string): Promise<void> {
  await server.call('POST', `/api/sandboxes/${sandbox}/hibernate`);
  await server.call('POST', `/api/sandboxes/${sandbox}/wake`, {});
}

describe('patches', () => {
  test('run at fork and at wake, each once', async () => {
    const cid = await checkpoint();
    const before = await fork(cid);
    const one = await add(cid, 'count', 'first');
    expect(one).toMatchObject({ sequence: 1, checkpointId: cid, strategy: 'on_wake', description: 'first' });
    const after = await fork(cid);
    expect([counter(before), counter(after)]).toEqual([0, 1]);
    await cycle(before);
    expect(counter(before)).toBe(1);
    const two = await add(cid, 'count');
    expect((await server.call('GET', patches(cid))).json).toEqual([one, two]);
    await cycle(after);
    await cycle(after);
    expect(counter(after)).toBe(2);
    expect(await read(after)).not.toHaveProperty('patchError');
  });

  test('stop at the first that fails, until that is deleted', async () => {
    const cid = await checkpoint();
    await add(cid, 'count');
    const bad = await add(cid, 'exit 3', 'broken');
    await add(cid, 'count');
    const sandbox = await fork(cid);
    expect(counter(sandbox)).toBe(1);
    expect((await read(sandbox)).patchError).toBe('patch 2 (broken) ended with 3: failed');
    await cycle(sandbox);
    expect(counter(sandbox)).toBe(1);
    expect((await server.call('DELETE', patches(cid, `/${bad.id}`))).status).toBe(204);
    expect((await server.call('DELETE', patches(cid, `/${bad.id}`))).json.code).toBe('patch_not_found');
    await cycle(sandbox);
    expect(counter(sandbox)).toBe(2);
    expect(await read(sandbox)).not.toHaveProperty('patchError');
  });

  test('that cannot be started tell so, and the fork stands', async () => {
    const cid = await checkpoint();
    await add(cid, 'nothing-of-that-name');
    const sandbox = await fork(cid);
    expect((await read(sandbox)).patchError).toContain('executable not found');
    expect((await read(sandbox)).status).toBe('running');
  });

  test('go through a worker that breaks off', async () => {
    const cid = await checkpoint();
    await add(cid, 'count');
    server.worker.fail('POST exec', 'dieAfter');
    const sandbox = await fork(cid);
    expect(counter(sandbox)).toBe(1);
    expect(await read(sandbox)).not.toHaveProperty('patchError');
  });

  test.each([
    ['no script', {}],
    ['an empty script', { script: '  ' }],
    ['a long script', { script: 'x'.repeat(70_000) }],
    ['NUL', { script: 'a\0b' }],
    ['a long description', { script: 'true', description: 'x'.repeat(2000) }],
  ])('with %s are refused', async (_name, body) => {
    const cid = await checkpoint();
    expect((await server.call('POST', patches(cid), body)).json.code).toBe('invalid_request');
    expect((await server.call('GET', patches(cid))).json).toEqual([]);
  });

  test('of an unknown checkpoint are not found', async () => {
    const cid = '00000000-0000-4000-8000-000000000000';
    expect((await server.call('GET', patches(cid))).status).toBe(404);
    expect((await server.call('POST', patches(cid), { script: 'true' })).status).toBe(404);
  });
});
