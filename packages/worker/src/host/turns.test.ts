import { expect, test } from 'vitest';
import { Turns } from './turns.ts';

test('so many run at once, in the order in which they came, and a failure ends its turn', async () => {
  const turns = new Turns(2);
  const begun: number[] = [];
  const gates = Array.from({ length: 5 }, () => Promise.withResolvers<number>());
  const results = gates.map(({ promise }, n) =>
    turns.run(() => {
      begun.push(n);
      return promise;
    }),
  );
  const settled = Promise.allSettled(results);
  expect(begun).toEqual([0, 1]);
  gates[1]?.resolve(1);
  await results[1];
  await expect.poll(() => begun).toEqual([0, 1, 2]);
  gates[0]?.reject(new Error('no luck'));
  await expect(results[0]).rejects.toThrow('no luck');
  await expect.poll(() => begun).toEqual([0, 1, 2, 3]);
  for (const { resolve } of gates) resolve(0);
  expect((await settled).map(({ status }) => status)).toEqual([
    'rejected',
    ...Array.from({ length: 4 }, () => 'fulfilled'),
  ]);
  expect(begun).toEqual([0, 1, 2, 3, 4]);
  expect(await turns.run(async () => 5)).toBe(5);
});
