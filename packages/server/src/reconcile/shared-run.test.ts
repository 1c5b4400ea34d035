import { expect, test } from 'vitest';
import { SharedRun } from './shared-run.ts';

test('whoever asks while it runs shares one more run, which sees what was there when it was asked for', async () => {
  const gates: PromiseWithResolvers<void>[] = [];
  const shared = new SharedRun(() => {
    const gate = Promise.withResolvers<void>();
    gates.push(gate);
    return gate.promise;
  });
  const first = shared.run();
  const second = shared.run();
  expect(shared.run()).toBe(second);
  expect(gates).toHaveLength(1);
  gates[0]?.resolve();
  await first;
  await expect.poll(() => gates.length).toBe(2);
  let ended = false;
  const end = shared.ended().then(() => (ended = true));
  expect(ended).toBe(false);
  gates[1]?.resolve();
  await Promise.all([second, end]);
  const third = shared.run();
  expect(gates).toHaveLength(3);
  gates[2]?.resolve();
  await third;
});

test('a run that fails is told to those who share it, and the next one runs', async () => {
  let runs = 0;
  const shared = new SharedRun(async () => {
    runs += 1;
    if (runs === 1) throw new Error('no');
  });
  const [first, second] = await Promise.allSettled([shared.run(), shared.run()]);
  expect([first.status, second.status, runs]).toEqual(['rejected', 'fulfilled', 2]);
});
