import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { closestName } from './closest-name.ts';

const known = ['templateID', 'timeout', 'envs', 'metadata', 'cpuCount', 'memoryMB', 'diskMB', 'cwd', 'cmd'];

test.each([
  ['memory', 'memoryMB'],
  ['ram', 'memoryMB'],
  ['memoryMb', 'memoryMB'],
  ['memory-mb', 'memoryMB'],
  ['vcpus', 'cpuCount'],
  ['env', 'envs'],
  ['environment', 'envs'],
  ['labels', 'metadata'],
  ['tiemout', 'timeout'],
  ['timout', 'timeout'],
  ['timeoutt', 'timeout'],
  ['template', 'templateID'],
  ['command', 'cmd'],
  ['workdir', 'cwd'],
  ['image', undefined],
  ['secretStore', undefined],
  ['x', undefined],
  ['', undefined],
  ['timeout'.repeat(20), undefined],
])('%j is closest to %j', (name, closest) => expect(closestName(name, known)).toBe(closest));

test('nothing is close where nothing is known', () => expect(closestName('memory', [])).toBeUndefined());

test('the client, which depends on no package, has the same file', () => {
  const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8');
  expect(read('../../sdk/src/closest-name.ts')).toBe(read('./closest-name.ts'));
});
