import { expect, test } from 'vitest';
import { absolute, namesContent, namesFolder, parseLocation } from './location.ts';

test.each([
  ['-', { kind: 'stream' }],
  ['sb-1:/etc/hosts', { kind: 'remote', sandboxId: 'sb-1', path: '/etc/hosts' }],
  ['sb-1:', { kind: 'remote', sandboxId: 'sb-1', path: '' }],
  ['sb-1:a:b', { kind: 'remote', sandboxId: 'sb-1', path: 'a:b' }],
  ['./a:b', { kind: 'local', path: './a:b' }],
  ['/tmp/x:y', { kind: 'local', path: '/tmp/x:y' }],
  ['notes.txt', { kind: 'local', path: 'notes.txt' }],
])('%j', (text, location) => expect(parseLocation(text)).toEqual(location));

test('paths of a sandbox begin at its home', () => {
  expect(['', 'a/../b', '/x/', '.'].map(absolute)).toEqual([
    '/home/sandbox',
    '/home/sandbox/b',
    '/x',
    '/home/sandbox',
  ]);
});

test('a slash at the end, or nothing, names a folder; a dot means what is in it', () => {
  expect(['', 'a/', 'a'].map(namesFolder)).toEqual([true, true, false]);
  expect(['.', 'a/.', 'a', 'a.'].map(namesContent)).toEqual([true, true, false, false]);
});
