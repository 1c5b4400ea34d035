import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { standstill } from './standstill.ts';

test('answers where a counter stands once it has not changed for so many turns', async () => {
  let count = 0;
  let turns = 0;
  const counting = (async () => {
    for (; turns < 500; turns++) {
      await nextTurn();
      if (turns % 50 === 49) count++;
    }
  })();
  expect(await standstill(() => count, 100)).toBe(10);
  await counting;
});

test('waits for its beginning, however long that takes', async () => {
  let looks = 0;
  expect(await standstill(() => (++looks > 300 ? 7 : 0), 100)).toBe(7);
});
