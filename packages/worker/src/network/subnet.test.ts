import { expect, test } from 'vitest';
import { deniedRanges, formatBlock, overlaps, parseBlock } from './addresses.ts';
import { candidateBlocks, parsePool } from './subnet.ts';

const names = (pool: string, inUse: string[], tag: string): string[] =>
  candidateBlocks(parsePool(pool), inUse.map(parseBlock), tag).map(formatBlock);

test('blocks in use, in whole or in part, are no candidates', () => {
  expect(names('10.213.0.0/20', ['10.213.4.7/32', '10.213.8.0/21'], '00000000')).toEqual(['10.213.0.0/22']);
});

test('the search starts at a place of the instance’s own', () => {
  expect(names('10.213.0.0/20', [], '00000002')[0]).toBe('10.213.8.0/22');
  expect(names('10.213.0.0/20', [], '00000002')).toHaveLength(4);
});

test('a broader route is shadowed rather than respected, for want of anything better', () => {
  expect(names('10.213.0.0/21', ['10.0.0.0/8'], '00000000')).toEqual(['10.213.0.0/22', '10.213.4.0/22']);
});

test.each([
  '10.213.0.0',
  '10.213.0.0/23',
  '10.0.0.0/7',
  '10.213.0/16',
  '10.213.0.256/16',
  '::/16',
  '010.0.0.0/16',
])('the pool %s is refused', (text) => expect(() => parsePool(text)).toThrow(RangeError));

test('ranges are read and written alike, with the host bits cleared', () => {
  expect(formatBlock(parseBlock('10.213.7.9/22'))).toBe('10.213.4.0/22');
  expect(formatBlock(parseBlock('255.255.255.255'))).toBe('255.255.255.255/32');
});

test.each(['192.0.2.1', '198.51.100.1', '203.0.113.1', '198.18.0.1', '8.8.8.8', '172.32.0.1', '100.128.0.1'])(
  '%s is not denied',
  (address) =>
    expect(deniedRanges.some((range) => overlaps(parseBlock(range), parseBlock(address)))).toBe(false),
);
