import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestServer } from '../testing/harness.ts';

let server: TestServer;
let id: string;
beforeAll(async () => {
  server = await TestServer.start();
  id = await server.create();
});
afterAll(() => server[Symbol.asyncDispose]());

const typescript = { 'x-osb-async-wake': '1' };
const python = { 'user-agent': 'python-httpx/0.28.1' };
const read = (path: string, headers: Record<string, string>, method = 'GET') =>
  fetch(`${server.url}/api/sandboxes/${id}/files?path=${path}`, {
    method,
    headers: { 'x-api-key': server.key, ...headers },
  });

describe('a directory that is read', () => {
  test('is there for the published TypeScript client, and its body never ends', async () => {
    // Status and break come in quick succession: the status must win every time.
    for (let round = 0; round < 50; round += 1) {
      const response = await read('/tmp', typescript);
      expect(response.status).toBe(200);
      await expect(response.text()).rejects.toThrow('terminated');
    }
  });

  test('is there for the published TypeScript client that leaves the body', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => read('/tmp', typescript)));
    expect(answers.every(({ ok }) => ok)).toBe(true);
  });

  test('is the error as content for the published Python client', async () => {
    const response = await read('/tmp', python);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(await response.json()).toMatchObject({ code: 'is_directory', error: '/tmp is a directory' });
    expect(response.headers.get('x-request-id')).toMatch(/./);
  });

  test.each([
    ['our Python client', { 'user-agent': 'opencomputer-python' }],
    ['plain HTTP', { 'user-agent': 'curl/8.0' }],
    ['another name with httpx in it', { 'user-agent': 'mine python-httpx/0.28.1' }],
  ])('is a 400 for %s', async (_, headers) => {
    const response = await read('/tmp', headers);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: 'is_directory' });
  });

  test.each([typescript, python])('is a 400 for HEAD %j', async (headers) => {
    expect((await read('/tmp', headers, 'HEAD')).status).toBe(400);
  });
});

test.each([typescript, python])('what is not there, and what is no path, is an error %j', async (headers) => {
  expect((await read('/missing', headers)).status).toBe(404);
  expect((await read('..', headers)).status).toBe(400);
});
