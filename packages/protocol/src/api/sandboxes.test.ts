import { describe, expect, test } from 'vitest';
import { createSandboxSchema } from './sandboxes.ts';
import { describeIssues } from '../text.ts';
import { resolveGuestPath } from '../guest-path.ts';
import { execRequestSchema } from './exec.ts';
import { openApiDocument } from './openapi.ts';
import { endpoints } from './endpoints.ts';

const schema = createSandboxSchema({ cpuCountMax: 4, memoryMBMax: 2048 });

describe('create body', () => {
  test('everything has a default', () => {
    expect(schema.parse({})).toEqual({
      templateID: 'base',
      timeout: 300,
      envs: {},
      metadata: {},
      cpuCount: 1,
      memoryMB: 1024,
      diskMB: 20480,
    });
  });

  test('unknown members are refused', () => {
    expect(schema.safeParse({ colour: 'x' }).success).toBe(false);
  });

  test.each([
    ['cpu of zero', { cpuCount: 0 }, 'cpuCount'],
    ['negative cpu', { cpuCount: -1 }, 'cpuCount'],
    ['fractional cpu', { cpuCount: 1.5 }, 'cpuCount'],
    ['cpu above the ceiling', { cpuCount: 5 }, 'cpuCount must not exceed 4'],
    ['cpu as text', { cpuCount: '2' }, 'cpuCount'],
    ['memory above the ceiling', { memoryMB: 4096 }, 'memoryMB must not exceed 2048'],
    ['huge memory', { memoryMB: 1e308 }, 'memoryMB'],
    ['little memory', { memoryMB: 127 }, 'memoryMB'],
    ['negative timeout', { timeout: -1 }, 'timeout'],
    ['empty name', { envs: { '': 'x' } }, 'must not be empty'],
    ['name with =', { envs: { 'A=B': 'x' } }, 'must not hold'],
    ['NUL in a value', { envs: { A: 'x\0y' } }, 'NUL'],
    ['env of a wrong type', { envs: { A: 1 } }, 'envs.A'],
    ['large metadata', { metadata: { a: 'x'.repeat(5000) } }, 'metadata'],
    [
      'many keys',
      { metadata: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, ''])) },
      '64 keys',
    ],
    ['array as body', [], 'expected object'],
  ])('%s is refused by name', (_name, body, expected) => {
    const parsed = schema.safeParse(body);
    expect(parsed.success).toBe(false);
    expect(describeIssues(parsed.error!)).toContain(expected);
  });
});

describe('exec body', () => {
  test('missing cmd has the words that clients know', () => {
    expect(describeIssues(execRequestSchema.safeParse({}).error!)).toContain('cmd is required');
    expect(describeIssues(execRequestSchema.safeParse({ cmd: '' }).error!)).toContain('cmd is required');
  });
  test('args may be null', () => {
    expect(execRequestSchema.parse({ cmd: 'ls', args: null }).args).toBeNull();
  });
});

describe('guest paths', () => {
  test.each([
    ['/app/hello.txt', '/app/hello.txt'],
    ['notes/a.txt', '/home/sandbox/notes/a.txt'],
    ['//tmp///x/./y/', '/tmp/x/y'],
    ['/', '/'],
    ['/a..b/..c', '/a..b/..c'],
  ])('%s is %s', (path, expected) => {
    expect(resolveGuestPath(path)).toBe(expected);
  });
  test.each([undefined, '', '../x', '/app/../etc/passwd', '/x\0y', `/${'a'.repeat(5000)}`])(
    '%j is refused',
    (path) => {
      expect(() => resolveGuestPath(path)).toThrow(expect.objectContaining({ code: 'invalid_path' }));
    },
  );
});

test('every endpoint stands in the OpenAPI document', () => {
  const document = openApiDocument('0.0.0') as {
    paths: Record<string, Record<string, { operationId: string }>>;
  };
  const ids = Object.values(document.paths).flatMap((path) =>
    Object.values(path).map((entry) => entry.operationId),
  );
  expect(ids.toSorted()).toEqual(Object.keys(endpoints).toSorted());
});
