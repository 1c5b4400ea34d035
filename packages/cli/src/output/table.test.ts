import { expect, test } from 'vitest';
import { paintFor, plain } from './colors.ts';
import { formatAge, formatBytes, formatDuration } from './format.ts';
import { formatFields, formatTable } from './table.ts';

const colored = paintFor({ isTerminal: true, wanted: true, env: {} });

test('columns are as wide as their widest cell, colours not counted', () => {
  const rows = [
    ['sb-1', colored('green', 'running')],
    ['sb-22222', 'x'],
  ];
  expect(formatTable(['ID', 'STATE'], rows, plain).split('\n')).toEqual([
    'ID        STATE',
    'sb-1      \u001b[32mrunning\u001b[0m',
    'sb-22222  x',
  ]);
});

test('names that others chose cannot move the cursor or add lines', () => {
  const evil = 'a\u001b[2Jb\nc\u0007\u009b31m';
  expect(formatTable(['NAME'], [[evil]], plain)).toBe('NAME\na·[2Jb·c··31m');
  expect(formatFields([['name', evil]], plain)).toBe('name  a·[2Jb·c··31m');
});

test('fields without a value are left out', () => {
  expect(
    formatFields(
      [
        ['a', undefined],
        ['bcd', 'x'],
        ['e', ''],
      ],
      plain,
    ),
  ).toBe('bcd  x');
});

test.each([
  [{ isTerminal: false, wanted: true, env: {} }],
  [{ isTerminal: true, wanted: false, env: {} }],
  [{ isTerminal: true, wanted: true, env: { NO_COLOR: '1' } }],
  [{ isTerminal: true, wanted: true, env: { TERM: 'dumb' } }],
])('there are no colours for %j', (switches) => {
  expect(paintFor(switches)('red', 'x')).toBe('x');
});

test('times and sizes are in the unit that people would choose', () => {
  expect([0, 59_999, 60_000, 7_200_000, 200_000_000].map(formatDuration)).toEqual([
    '0s',
    '59s',
    '1m',
    '2h',
    '2d',
  ]);
  expect(formatAge(new Date(1000), 6500)).toBe('5s ago');
  expect([0, 1023, 1024, 1_500_000, 2 ** 40].map(formatBytes)).toEqual([
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.4 MiB',
    '1.0 TiB',
  ]);
});
