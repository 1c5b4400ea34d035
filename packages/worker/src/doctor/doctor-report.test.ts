import { expect, test } from 'vitest';
import type { Check } from './checks.ts';
import { formatChecks, formatChecksAsJson } from './doctor-report.ts';

const checks: Check[] = [
  { id: 'node', title: 'Node.js', status: 'ok', found: '24.1.0' },
  {
    id: 'acceleration',
    title: 'Acceleration',
    status: 'warn',
    found: 'emulated',
    why: 'No KVM.',
    fix: 'Get one.',
  },
  { id: 'qemu', title: 'QEMU', status: 'fail', found: 'not found' },
];

test('text is aligned, with why and how to fix it below', () => {
  expect(formatChecks(checks, { color: false }).split('\n')).toEqual([
    '  ok    Node.js       24.1.0',
    '  warn  Acceleration  emulated',
    '                      No KVM.',
    '                      To fix: Get one.',
    '  FAIL  QEMU          not found',
    '',
    '1 ok, 1 to note, 1 failed',
    '',
  ]);
});

test('only the marks are coloured, and only when asked', () => {
  const lines = formatChecks(checks, { color: true }).split('\n');
  expect(lines[0]).toBe('  \u001B[32mok  \u001B[0m  Node.js       24.1.0');
  expect(lines[4]).toBe('  \u001B[31mFAIL\u001B[0m  QEMU          not found');
  expect(formatChecks(checks, { color: false })).not.toContain('\u001B');
});

test('what other programs printed cannot steer the terminal', () => {
  const hostile: Check = { id: 'x', title: 'X', status: 'fail', found: 'a\u001B[2Jb\nc\u202Ed\u0007' };
  expect(formatChecks([hostile], { color: false }).split('\n')[0]).toBe('  FAIL  X  a [2Jb c d');
});

test('no checks make a report too', () => {
  expect(formatChecks([], { color: false })).toBe('\n0 ok, 0 to note, 0 failed\n');
});

test('JSON holds the checks whole, and whether all is well', () => {
  expect(JSON.parse(formatChecksAsJson(checks))).toEqual({ ok: false, checks });
  expect(JSON.parse(formatChecksAsJson(checks.slice(0, 2)))).toMatchObject({ ok: true });
});
