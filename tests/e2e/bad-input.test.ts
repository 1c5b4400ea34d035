import { describe, expect, test } from 'vitest';
import { expectError } from '../support/api.ts';
import { fileSandbox, secondApi, sharedApi } from '../support/shared.ts';

const create = (json: unknown) => sharedApi().call('POST', '/api/sandboxes', { json });
const ids = async (): Promise<string[]> =>
  (await sharedApi().list('&status=all')).map(({ sandboxID }) => sandboxID);
const long = (length: number): string => 'x'.repeat(length);

describe('creates that are refused', () => {
  test.each<[name: string, json: unknown, message: RegExp]>([
    ['a negative cpuCount', { cpuCount: -1 }, /cpuCount/],
    ['no cpuCount at all', { cpuCount: 0 }, /cpuCount/],
    ['a fractional cpuCount', { cpuCount: 1.5 }, /cpuCount/],
    ['a huge cpuCount', { cpuCount: 1e9 }, /cpuCount must not exceed 4/],
    ['a cpuCount beyond all integers', { cpuCount: 1e300 }, /cpuCount/],
    ['a cpuCount in words', { cpuCount: '2' }, /cpuCount/],
    ['too little memory', { memoryMB: 127 }, /memoryMB.*128/],
    ['too much memory', { memoryMB: 2049 }, /memoryMB must not exceed 2048/],
    ['negative memory', { memoryMB: -1024 }, /memoryMB/],
    ['fractional memory', { memoryMB: 512.5 }, /memoryMB/],
    ['another disk', { diskMB: 1 }, /diskMB/],
    ['a negative timeout', { timeout: -1 }, /timeout/],
    ['an endless timeout', { timeout: 1e12 }, /timeout/],
    ['a timeout of the wrong type', { timeout: null }, /timeout/],
    ['a template of the wrong type', { templateID: 7 }, /templateID/],
    ['an empty template', { templateID: '' }, /templateID/],
    ['a list as environment', { envs: ['A=1'] }, /envs/],
    ['an empty name of a variable', { envs: { '': 'x' } }, /envs.*empty/],
    ['a name with =', { envs: { 'A=B': 'x' } }, /envs.*"="/],
    ['a name with NUL', { envs: { 'A\0': 'x' } }, /envs.*NUL/],
    ['a value with NUL', { envs: { A: 'x\0y' } }, /envs.*NUL/],
    ['a value that is no string', { envs: { A: 1 } }, /envs/],
    ['too long a name', { envs: { [long(300)]: '' } }, /256/],
    ['too much environment', { envs: { A: long(200_000) } }, /131072/],
    [
      'too many variables',
      { envs: Object.fromEntries(Array.from({ length: 600 }, (_, n) => [`V${n}`, ''])) },
      /512/,
    ],
    [
      'too much metadata',
      { metadata: { a: long(4000), b: long(4000), c: long(4000), d: long(4000), e: long(4000) } },
      /16384/,
    ],
    ['too long a value of metadata', { metadata: { a: long(5000) } }, /4096/],
    [
      'too many keys of metadata',
      { metadata: Object.fromEntries(Array.from({ length: 70 }, (_, n) => [`k${n}`, 'v'])) },
      /64/,
    ],
    ['metadata that is no string', { metadata: { a: { b: 1 } } }, /metadata/],
    ['a list instead of an object', [], /object/],
    ['a number instead of an object', 7, /object/],
  ])('%s', async (_name, json, message) => {
    const before = await ids();
    expectError(await create(json), 400, 'invalid_request', message);
    expect(await ids()).toEqual(before);
  });

  test('an unknown template', async () => {
    const before = await ids();
    expectError(await create({ templateID: 'no-such-template' }), 404, 'template_not_found', /base/);
    expectError(await create({ templateID: '../../etc' }), 404, 'template_not_found');
    expect(await ids()).toEqual(before);
  });

  test('bodies that are no JSON, cut off, or not UTF-8', async () => {
    const post = (body: string | Uint8Array<ArrayBuffer>) =>
      sharedApi().call('POST', '/api/sandboxes', { body });
    for (const body of ['{', '{"cpuCount": 2', 'null x', '<xml/>', new Uint8Array([0x22, 0xff, 0xfe, 0x22])])
      expectError(await post(body), 400, 'invalid_json');
    expectError(await post(`{"metadata":{"a":"${long(1024 * 1024)}"}}`), 413, 'too_large', /1048576/);
    expectError(await post('['.repeat(100_000)), 400, 'invalid_json');
    expectError(
      await post('{"__proto__":{"cpuCount":99},"cpuCount":99}'),
      400,
      'invalid_request',
      /cpuCount/,
    );
  });
});

describe('keys and tenants', () => {
  const sandbox = fileSandbox();
  const without = (headers: Record<string, string>) => sharedApi().call('GET', '/api/sandboxes', { headers });

  test('no key, a wrong key, half a key and a key twice as long are all refused', async () => {
    const { key } = sharedApi();
    const bare = await fetch(`${sharedApi().url}/api/sandboxes`);
    expect(bare.status).toBe(401);
    expect(await bare.json()).toMatchObject({ code: 'unauthorized' });
    for (const wrong of [
      '',
      'x',
      key.slice(0, -1),
      key + key,
      `osb_${'0'.repeat(64)}`,
      key.toUpperCase(),
      "' or 1=1 --",
    ])
      expectError(await without({ 'x-api-key': wrong }), 401, 'unauthorized');
    expect((await without({ 'x-api-key': key })).status).toBe(200);
  });

  test('another tenant\u2019s sandbox is not found, by any route', async () => {
    const foreign = secondApi().sandbox(sandbox().id);
    const cases: [string, string, object?][] = [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/timeout', { timeout: 1 }],
      ['POST', '/exec/run', { cmd: 'true' }],
      ['POST', '/exec/run-async', { cmd: 'true' }],
      ['GET', '/exec/00000000/result'],
      ['GET', '/files?path=/etc/passwd'],
      ['DELETE', '/files?path=/etc/passwd'],
      ['GET', '/files/list?path=/'],
      ['POST', '/files/mkdir?path=/tmp/x'],
      ['POST', '/files/download-url', { path: '/etc/passwd' }],
      ['POST', '/files/upload-url', { path: '/etc/passwd' }],
    ];
    for (const [method, path, json] of cases)
      expectError(
        await foreign.call(method, path, json === undefined ? {} : { json }),
        404,
        'sandbox_not_found',
      );
    expectError(await foreign.call('PUT', '/files?path=/tmp/x', { body: 'x' }), 404, 'sandbox_not_found');
    expect((await secondApi().list('&status=all')).map(({ sandboxID }) => sandboxID)).not.toContain(
      sandbox().id,
    );
    expect(await sandbox().output('echo untouched; test -e /tmp/x || echo clean')).toBe('untouched\nclean');
    const mine = await secondApi().create();
    expect((await sharedApi().list()).map(({ sandboxID }) => sandboxID)).not.toContain(mine.id);
    await mine.delete();
  });

  test('an id that is none is not found', async () => {
    for (const id of ['sb-00000000', 'sb-zzzzzzzz', 'nonsense', '..', '%2e%2e', long(3000), 'sb-0000000%00'])
      expect((await sharedApi().call('GET', `/api/sandboxes/${id}`)).status, id).toBeGreaterThanOrEqual(400);
    expectError(await sharedApi().call('GET', '/api/sandboxes/sb-00000000'), 404, 'sandbox_not_found');
    expectError(await sharedApi().call('DELETE', '/api/sandboxes/sb-00000000'), 404, 'sandbox_not_found');
    expectError(await sharedApi().call('GET', '/api/nonsense'), 404, 'not_found');
    expectError(await sharedApi().call('PATCH', `/api/sandboxes/${sandbox().id}`), 405, 'method_not_allowed');
  });
});

describe('commands that are refused', () => {
  const sandbox = fileSandbox();
  const run = (json: unknown) => sandbox().call('POST', '/exec/run', { json });

  test.each<[name: string, json: unknown, message: RegExp]>([
    ['no command', {}, /cmd is required/],
    ['an empty command', { cmd: '' }, /cmd is required/],
    ['a command of the wrong type', { cmd: ['ls'] }, /cmd/],
    ['NUL in the command', { cmd: 'l\0s' }, /cmd.*NUL/],
    ['NUL in an argument', { cmd: 'ls', args: ['a\0b'] }, /args.*NUL/],
    ['arguments of the wrong type', { cmd: 'ls', args: 'x' }, /args/],
    ['too many arguments', { cmd: 'ls', args: Array.from({ length: 220_000 }, () => 'x') }, /args.*bytes/],
    ['too long an argument', { cmd: 'ls', args: [long(140_000)] }, /args/],
    ['a negative timeout', { cmd: 'ls', timeout: -1 }, /timeout/],
    ['an endless timeout', { cmd: 'ls', timeout: 1e9 }, /timeout/],
    ['NUL in the directory', { cmd: 'ls', cwd: '/\0' }, /cwd.*NUL/],
    ['a name with =', { cmd: 'ls', envs: { 'A=B': '' } }, /envs.*"="/],
  ])('%s', async (_name, json, message) => {
    expectError(await run(json), 400, 'invalid_request', message);
  });

  test('and the next one runs', async () => {
    expect(await sandbox().output('echo good')).toBe('good');
  });
});
