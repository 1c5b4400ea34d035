import { expect, test } from 'vitest';
import { openSealed, sealJson } from './sealed-json.ts';

const value = { id: 'sb-01234567', env: { B: '1', 2: 'two', A: 'ä"\\' }, layers: [{ file: 'x' }], n: 1.5 };

test('what was sealed is opened', () => {
  expect(openSealed(sealJson(value))).toEqual(value);
});

test('text without a seal is of before, and is taken as it is', () => {
  expect(openSealed(JSON.stringify(value))).toEqual(value);
  expect(openSealed('[1]')).toEqual([1]);
  expect(openSealed('null')).toBeNull();
});

test('any bit that is flipped is found, or changes nothing', () => {
  const text = Buffer.from(sealJson(value));
  for (let at = 0; at < text.length; at++)
    for (let bit = 0; bit < 8; bit++) {
      const flipped = Buffer.from(text);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << bit);
      let opened: unknown;
      try {
        opened = openSealed(flipped.toString());
      } catch {
        continue;
      }
      // In white space, or in the name of the field `seal` itself.
      expect(opened).toMatchObject(value);
    }
});

test('a text that was cut off is found', () => {
  const text = sealJson(value);
  for (let length = 0; length < text.length - 2; length++)
    expect(() => openSealed(text.slice(0, length))).toThrow();
});
