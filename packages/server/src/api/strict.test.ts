import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Endpoint, type EndpointId, endpoints, unsupportedFields } from '@opencomputer/protocol';
import { TestClient } from '../testing/client.ts';
import { TestServer } from '../testing/harness.ts';

const unknownCheckpoint = '00000000-0000-4000-8000-000000000000';
const all = Object.entries<Endpoint>(endpoints);
let server: TestServer;
let id: string;
beforeAll(async () => {
  server = await TestServer.start();
  id = await server.create();
});
afterAll(() => server[Symbol.asyncDispose]());

const pathOf = ({ path }: Endpoint): string =>
  path
    .replace(':id', id)
    .replace(':cid', unknownCheckpoint)
    .replace(':pid', unknownCheckpoint)
    .replace(':execId', 'ffffffff');

const sandboxes = async (): Promise<number> =>
  (await server.call('GET', '/api/sandboxes?status=all')).json.length;

describe('unknown fields', () => {
  test.each<[object, string]>([
    [{ memory: 5 }, 'unknown field "memory"; did you mean memoryMB?'],
    [{ cpus: 2 }, 'unknown field "cpus"; did you mean cpuCount?'],
    [{ env: { A: '1' } }, 'unknown field "env"; did you mean envs?'],
    [{ memory_mb: 512 }, 'unknown field "memory_mb"; did you mean memoryMB?'],
    [{ templateId: 'base' }, 'unknown field "templateId"; did you mean templateID?'],
    [{ metdata: {} }, 'unknown field "metdata"; did you mean metadata?'],
    [{ nonsense: 1 }, 'unknown field "nonsense"; known: templateID, timeout'],
    [JSON.parse('{"__proto__": 1}') as object, 'unknown field "__proto__"'],
    [{ ['x'.repeat(10_000)]: 1 }, `unknown field "${'x'.repeat(64)}"; known`],
  ])('of a create are refused: %j', async (body, message) => {
    const before = await sandboxes();
    const { status, json } = await server.call('POST', '/api/sandboxes', body);
    expect([status, json.code]).toEqual([400, 'invalid_request']);
    expect(json.error).toContain(message);
    expect(await sandboxes()).toBe(before);
  });

  test.each<[EndpointId, string, string]>([
    ['runCommand', 'timout', 'did you mean timeout?'],
    ['runCommandAsync', 'command', 'did you mean cmd?'],
    ['createSession', 'maxRunAfterDisconnects', 'did you mean maxRunAfterDisconnect?'],
    ['forkCheckpoint', 'metadatas', 'did you mean metadata?'],
    ['forkSandbox', 'counts', 'did you mean count?'],
    ['createTerminal', 'columns', 'did you mean cols?'],
  ])('of %s are refused, with what was probably meant', async (endpoint, field, words) => {
    const { status, json } = await server.call('POST', pathOf(endpoints[endpoint]), { [field]: 1 });
    expect([status, json.code]).toEqual([400, 'invalid_request']);
    expect(json.error).toContain(`unknown field "${field}"; ${words}`);
  });

  test('of objects within a body are refused', async () => {
    const { status, json } = await server.call('POST', `/api/sandboxes/${id}/checkpoints`, {
      name: 'a',
      retentionPolicy: { mode: 'delete_oldest', maxcount: 1 },
    });
    expect([status, json.error]).toEqual([
      400,
      'retentionPolicy: unknown field "maxcount"; did you mean maxCount?',
    ]);
  });

  const withJson = all.filter(([, { method, body }]) => method !== 'GET' && body !== 'bytes');
  test.each(withJson)('of every body are refused: %s', async (_, endpoint) => {
    const { status, json } = await server.call(endpoint.method, pathOf(endpoint), { zzzzzz: 1 });
    expect([status, json.code]).toEqual([400, 'invalid_request']);
    expect(json.error).toContain('unknown field "zzzzzz"');
  });

  const withKey = all.filter(([, { auth }]) => auth === 'key' || auth === 'data');
  test.each(withKey)('of every query are refused: %s', async (_, endpoint) => {
    const { status, json } = await server.call(endpoint.method, `${pathOf(endpoint)}?zzzzzz=1`);
    expect([status, json.code]).toEqual([400, 'invalid_request']);
    expect(json.error).toContain('unknown parameter "zzzzzz"');
  });

  test('of the query of a WebSocket are refused', async () => {
    const path = `/api/sandboxes/${id}/exec/ffffffff`;
    expect(await TestClient.refused(server, `${path}?form=1`)).toEqual({
      status: 400,
      code: 'invalid_request',
    });
    expect(await TestClient.refused(server, `${path}?from=1`)).toEqual({
      status: 404,
      code: 'exec_not_found',
    });
  });

  test('a credential is no unknown parameter', async () => {
    const answer = await fetch(`${server.url}/api/sandboxes/${id}?api_key=${server.key}`);
    expect(answer.status).toBe(200);
  });
});

describe('fields that are not there yet', () => {
  const table = Object.entries(unsupportedFields).flatMap(([endpoint, fields]) =>
    Object.entries(fields).map(([field, hint]): [EndpointId, string, string] => [
      endpoint as EndpointId,
      field,
      hint,
    ]),
  );

  test.each(table)('%s refuses %s by name', async (name, field, hint) => {
    const endpoint: Endpoint = endpoints[name];
    const before = await sandboxes();
    const { status, json } =
      endpoint.method === 'DELETE'
        ? await server.call('DELETE', `${pathOf(endpoint)}?${field}=true`)
        : await server.call(endpoint.method, pathOf(endpoint), { [field]: 'x' });
    expect([status, json]).toEqual([
      400,
      expect.objectContaining({
        code: 'unsupported',
        error: `${field} is not supported by this version`,
        field,
        hint,
      }),
    ]);
    expect(await sandboxes()).toBe(before);
  });

  // What is built has to leave the table: it would be refused for ever.
  test.each(table)('%s does not know %s', (name, field) => {
    const { body, query }: Endpoint = endpoints[name];
    const members = body !== undefined && body !== 'bytes' && 'shape' in body ? body.shape : {};
    expect(members).not.toHaveProperty(field);
    expect(query?.shape ?? {}).not.toHaveProperty(field);
  });

  test.each([[], {}, false, null, ''])('are refused whatever their value: %j', async (mounts) => {
    expect((await server.call('POST', '/api/sandboxes', { mounts })).json.code).toBe('unsupported');
  });

  test('a fork does not drop what a checkpoint decides', async () => {
    const { json } = await server.call('POST', `/api/sandboxes/from-checkpoint/${unknownCheckpoint}`, {
      memoryMB: 512,
    });
    expect(json).toMatchObject({ code: 'unsupported', hint: expect.stringContaining('checkpoint') });
  });
});

test('the OpenAPI document says which objects hold nothing else', async () => {
  const document = (await server.call('GET', '/openapi.json')).json;
  const { schemas } = document.components;
  const names = [
    'CreateSandbox',
    'ExecRequest',
    'CreateSession',
    'ForkCheckpoint',
    'CreateCheckpoint',
    'Wake',
  ];
  for (const name of names) expect(schemas[name].additionalProperties, name).toBe(false);
  // Answers may get more members.
  expect(schemas.Checkpoint).not.toHaveProperty('additionalProperties', true);
});
