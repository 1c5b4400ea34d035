import { ApiError, type GuestUse } from '@opencomputer/protocol';
import { describe, expect, test } from 'vitest';
import { newStore } from '../testing/database.ts';
import { quietLog } from '../testing/harness.ts';
import { Expiry } from './expiry.ts';
import { IdleClock } from './idle-clock.ts';

const nothing: GuestUse = { sessions: [], count: 0, idleMs: null };
const command: GuestUse = {
  sessions: [{ id: '0a1b2c3d', kind: 'session', command: 'sleep 1000' }],
  count: 1,
  idleMs: null,
};

/** An expiry whose time the test makes pass, second by second, over one sandbox "a" with a timeout of 10 s. */
async function lab() {
  let now = 0;
  const clock = { use: (): Promise<GuestUse> => Promise.resolve(nothing), asked: 0, connected: true };
  const hibernated: number[] = [];
  const store = await newStore();
  const idle = new IdleClock(() => now);
  const expiry = new Expiry({
    store,
    idle,
    use: () => {
      clock.asked += 1;
      return clock.use();
    },
    sandboxes: {
      expire: (id) => {
        hibernated.push(now);
        idle.forget(id);
        return Promise.resolve();
      },
    },
    log: quietLog,
    connected: () => clock.connected,
    now: () => now,
  });
  const until = async (ms: number): Promise<void> => {
    while (now < ms) {
      now = Math.min(now + 1000, ms);
      await expiry.sweep();
    }
  };
  idle.watch('a', 10);
  return { clock, idle, hibernated, until, [Symbol.asyncDispose]: () => store.destroy() };
}

describe('an idle sandbox', () => {
  test('hibernates when its guest has nothing in use, and is asked once', async () => {
    await using test = await lab();
    await test.until(60_000);
    expect(test.hibernated).toEqual([10_000]);
    expect(test.clock.asked).toBe(1);
  });

  test('stays while a command runs, and hibernates a whole timeout after its end', async () => {
    await using test = await lab();
    test.clock.use = () => Promise.resolve(command);
    await test.until(95_000);
    test.clock.use = () => Promise.resolve({ ...nothing, idleMs: 5000 });
    await test.until(100_000);
    expect(test.hibernated).toEqual([]);
    test.clock.use = () => Promise.resolve({ ...nothing, idleMs: 10_000 });
    await test.until(200_000);
    expect(test.hibernated).toEqual([105_000]);
    expect(test.clock.asked).toBeLessThan(15);
  });

  test('is not hibernated by an answer that a use has overtaken', async () => {
    await using test = await lab();
    test.clock.use = () => {
      test.idle.touch('a');
      return Promise.resolve(nothing);
    };
    await test.until(15_000);
    expect(test.hibernated).toEqual([]);
  });

  test('is neither asked nor hibernated while the worker is away', async () => {
    await using test = await lab();
    test.clock.connected = false;
    await test.until(60_000);
    expect([test.hibernated, test.clock.asked]).toEqual([[], 0]);
    test.clock.connected = true;
    await test.until(62_000);
    expect(test.hibernated).toEqual([61_000]);
  });

  test('hibernates as it is when its guest does not answer time and again, and not before', async () => {
    await using test = await lab();
    test.clock.use = () => Promise.reject(new ApiError('guest_timeout', 'no answer'));
    await test.until(60_000);
    expect([test.hibernated, test.clock.asked]).toEqual([[], 2]);
    await test.until(600_000);
    expect(test.hibernated).toHaveLength(1);
    expect(test.clock.asked).toBe(3);
  });

  test('is asked again after an error that says nothing about it', async () => {
    await using test = await lab();
    test.clock.use = () => Promise.reject(new ApiError('internal', 'no sense'));
    await test.until(600_000);
    expect(test.hibernated).toEqual([]);
    test.clock.use = () => Promise.resolve(nothing);
    await test.until(3_600_000);
    expect(test.hibernated).toHaveLength(1);
  });

  test('hibernates soon after its worker is back, however long that was away while others were there', async () => {
    await using test = await lab();
    test.clock.use = () => Promise.reject(new ApiError('worker_unavailable', 'it is away'));
    await test.until(7_200_000);
    expect(test.hibernated).toEqual([]);
    test.clock.use = () => Promise.resolve(nothing);
    await test.until(7_240_000);
    expect(test.hibernated).toHaveLength(1);
  });
});
