import { InvalidArgumentError } from 'commander';
import { describe, expect, test } from 'vitest';
import { integer, pair, signalNumber, time } from './values.ts';

describe('integer', () => {
  test('takes whole numbers in its range', () => expect(integer(0, 10)('10')).toBe(10));
  test.each(['', '-1', '1.5', '11', '0x3', ' 3', '1e1', 'NaN'])('refuses %j', (text) => {
    expect(() => integer(0, 10)(text)).toThrow('from 0 to 10');
  });
});

describe('pair', () => {
  test('adds to those before; the value may hold anything', () => {
    expect(pair('B=x=y z', { A: '1' })).toEqual({ A: '1', B: 'x=y z' });
    expect(pair('A=')).toEqual({ A: '' });
  });
  test.each(['A', '=1', ''])('refuses %j', (text) => expect(() => pair(text)).toThrow('KEY=VALUE'));
});

describe('signalNumber', () => {
  test.each([
    ['9', 9],
    ['TERM', 15],
    ['sigint', 2],
    ['SIGHUP', 1],
  ])('%s is %i', (text, number) => expect(signalNumber(text)).toBe(number));
  test.each(['0', '65', 'NOPE', '', '-9'])('refuses %j', (text) => {
    expect(() => signalNumber(text)).toThrow(InvalidArgumentError);
  });
});

describe('time', () => {
  test('takes RFC 3339 and spans', () => {
    expect(time('2026-01-31T12:00:00Z')).toBe('2026-01-31T12:00:00.000Z');
    const ago = Date.now() - Date.parse(time('2h'));
    expect(Math.abs(ago - 7_200_000)).toBeLessThan(60_000);
  });
  test.each(['', 'yesterday', '5y', '99999999999999999d'])('refuses %j', (text) => {
    expect(() => time(text)).toThrow('Give a time');
  });
});
