import { assert, integer, jsonValue, property } from 'fast-check';
import { expect, test } from 'vitest';
import { JsonGuard } from './json-guard.ts';

/** Counts what a value holds by walking over it. */
function holds(value: unknown): { containers: number; commas: number } {
  if (typeof value !== 'object' || value === null) return { containers: 0, commas: 0 };
  const inside = Object.values(value).map(holds);
  const sum = (field: 'containers' | 'commas'): number =>
    inside.reduce((total, one) => total + one[field], 0);
  return { containers: 1 + sum('containers'), commas: Math.max(inside.length - 1, 0) + sum('commas') };
}

test('counts what a parser would make, whatever the strings say and however the text is cut', () => {
  assert(
    property(jsonValue(), integer({ min: 1, max: 9 }), (value, size) => {
      const text = Buffer.from(JSON.stringify(value));
      const { containers, commas } = holds(JSON.parse(text.toString()));
      const allowed = (bounds: { containers: number; commas: number }): boolean => {
        const guard = new JsonGuard(bounds);
        let allows = true;
        for (let at = 0; at < text.length; at += size) allows = guard.allows(text.subarray(at, at + size));
        return allows;
      };
      expect(allowed({ containers, commas })).toBe(true);
      expect(allowed({ containers: containers - 1, commas })).toBe(false);
      expect(allowed({ containers, commas: commas - 1 })).toBe(false);
    }),
  );
});

test.each([
  ['"{[,\\"{[,"', true],
  ['"\\\\",[[', false],
  ['"\\\\\\",[["', true],
])('knows where a string ends: %s', (text, allowed) => {
  expect(new JsonGuard({ containers: 0, commas: 0 }).allows(Buffer.from(text))).toBe(allowed);
});
