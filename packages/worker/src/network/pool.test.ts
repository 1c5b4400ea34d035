import { expect, test, vi } from 'vitest';
import { Indexes } from './indexes.ts';
import { Pool } from './pool.ts';
import type { PoolOptions } from './pool.ts';
import { NetworkFullError } from './types.ts';

function options(changes: Partial<PoolOptions>): PoolOptions & { batches: number[] } {
  const batches: number[] = [];
  let next = 0;
  const make = async (count: number): Promise<number[]> => {
    batches.push(count);
    return Array.from({ length: count }, () => next++);
  };
  const ignore = (): void => undefined;
  const base = { warm: 0, make, usable: () => true, discard: ignore, onRefillError: ignore, retryMs: 1 };
  return { ...base, batches, ...changes };
}

test('claims of one turn are made in batches', async () => {
  const given = options({});
  const pool = new Pool(given);
  const claimed = await Promise.all(Array.from({ length: 20 }, () => pool.claim()));
  expect(new Set(claimed).size).toBe(20);
  expect(given.batches).toEqual([16, 4]);
});

test('a claim takes a ready slot, which is then replaced', async () => {
  const given = options({ warm: 2 });
  const pool = new Pool(given);
  await vi.waitFor(() => expect(given.batches).toEqual([2]));
  expect(await pool.claim()).toBe(0);
  await vi.waitFor(() => expect(given.batches).toEqual([2, 1]));
  expect(await pool.close()).toEqual([1, 2]);
});

test('an unusable ready slot is discarded, not handed out', async () => {
  const discard = vi.fn<(index: number) => void>();
  const given = options({ warm: 2, usable: (index) => index !== 0, discard });
  const pool = new Pool(given);
  await vi.waitFor(() => expect(given.batches).toEqual([2]));
  expect(await pool.claim()).toBe(1);
  expect(discard).toHaveBeenCalledExactlyOnceWith(0);
});

test('a failure reaches those who wait, and the next claim works', async () => {
  let fail = true;
  const given = options({
    make: async () => {
      if (fail) throw new Error('no luck');
      return [5];
    },
  });
  const pool = new Pool(given);
  await expect(pool.claim()).rejects.toThrow('no luck');
  fail = false;
  expect(await pool.claim()).toBe(5);
});

test('a failed refill is reported and tried again', async () => {
  const onRefillError = vi.fn<(error: unknown) => void>();
  let tries = 0;
  const make = async (): Promise<number[]> => {
    tries += 1;
    if (tries === 1) throw new Error('no luck');
    return [9];
  };
  const pool = new Pool(options({ warm: 1, make, onRefillError }));
  await vi.waitFor(() => expect(tries).toBe(2));
  expect(onRefillError).toHaveBeenCalledOnce();
  expect(await pool.claim()).toBe(9);
});

test('a full host refuses every waiting claim', async () => {
  const make = async (): Promise<number[]> => {
    throw new NetworkFullError(1000);
  };
  const pool = new Pool(options({ make }));
  const claims = await Promise.allSettled(Array.from({ length: 30 }, () => pool.claim()));
  expect(
    claims.every((claim) => claim.status === 'rejected' && claim.reason instanceof NetworkFullError),
  ).toBe(true);
});

test('closing refuses claims, also those that wait, and returns what is made by then', async () => {
  const slot = Promise.withResolvers<number[]>();
  const make = vi.fn<() => Promise<number[]>>(() => slot.promise);
  const pool = new Pool(options({ make }));
  const refused = expect(pool.claim()).rejects.toThrow('closed');
  await vi.waitFor(() => expect(make).toHaveBeenCalledOnce());
  const closed = pool.close();
  await refused;
  slot.resolve([1]);
  expect(await closed).toEqual([1]);
  await expect(pool.claim()).rejects.toThrow('closed');
});

test('numbers are used again only after all others', () => {
  const indexes = new Indexes(3);
  indexes.reserve(0);
  expect(indexes.take()).toBe(1);
  indexes.free(1);
  expect(indexes.take()).toBe(2);
  expect(indexes.take()).toBe(1);
  expect(() => indexes.take()).toThrow(NetworkFullError);
  expect(() => indexes.reserve(3)).toThrow(RangeError);
});
