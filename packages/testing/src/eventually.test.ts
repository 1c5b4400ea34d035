import { expect, test } from 'vitest';
import { eventually } from './eventually.ts';

test('answers what the condition answers once it holds', async () => {
  let looks = 0;
  const look = () => (++looks < 3 ? undefined : { looks });
  expect(await eventually('three looks', look)).toEqual({ looks: 3 });
});

test('takes what is thrown for "not yet"', async () => {
  let looks = 0;
  const look = () => {
    if (++looks < 3) throw new Error('not there');
    return looks;
  };
  expect(await eventually('three looks', look)).toBe(3);
});

test('names what did not come about, and what was seen last', async () => {
  const never = () => {
    throw new Error('not there');
  };
  await expect(eventually('a light', never, { withinMs: 20 })).rejects.toThrow(/: a light; last: not there$/);
});
