import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DeadlineHeap } from './deadline-heap.ts';
import { IdleClock } from './idle-clock.ts';

function clockAt(start = 0) {
  let now = start;
  const clock = new IdleClock(() => now);
  return { clock, at: (ms: number) => (now = ms) };
}

describe('idle clock', () => {
  test('names a sandbox once its timeout has passed without use', () => {
    const { clock, at } = clockAt();
    clock.watch('a', 10);
    at(9999);
    expect(clock.takeExpired(1000)).toEqual([]);
    at(10_000);
    expect(clock.expired('a')).toBe(true);
    expect(clock.takeExpired(1000)).toEqual(['a']);
  });

  test('every use restarts it', () => {
    const { clock, at } = clockAt();
    clock.watch('a', 10);
    at(6000);
    clock.touch('a');
    at(15_999);
    expect(clock.takeExpired(1000)).toEqual([]);
    expect(clock.remainingMs('a')).toBe(1);
    at(16_000);
    expect(clock.takeExpired(1000)).toEqual(['a']);
  });

  test('stands still while a request is under way', () => {
    const { clock, at } = clockAt();
    clock.watch('a', 10);
    const first = clock.hold('a');
    const second = clock.hold('a');
    at(100_000);
    expect(clock.takeExpired(1000)).toEqual([]);
    expect(clock.remainingMs('a')).toBe(10_000);
    first();
    first();
    expect(clock.expired('a')).toBe(false);
    second();
    at(109_999);
    expect(clock.takeExpired(1000)).toEqual([]);
    at(110_000);
    expect(clock.takeExpired(1000)).toEqual(['a']);
  });

  test('0 is never', () => {
    const { clock, at } = clockAt();
    clock.watch('a', 0);
    at(1e12);
    expect(clock.takeExpired(1000)).toEqual([]);
    expect(clock.remainingMs('a')).toBeUndefined();
  });

  test('a shorter and a longer timeout both count from now', () => {
    const { clock, at } = clockAt();
    clock.watch('a', 100);
    clock.watch('b', 10);
    at(1000);
    clock.watch('a', 5);
    clock.watch('b', 100);
    at(6000);
    expect(clock.takeExpired(1000)).toEqual(['a']);
    at(11_000);
    expect(clock.takeExpired(1_000_000)).toEqual(['a']);
    at(101_000);
    expect(clock.takeExpired(1000)).toEqual(['b']);
  });

  test('names one again that was not stopped, and not one that was forgotten', () => {
    const { clock, at } = clockAt();
    clock.watch('a', 1);
    clock.watch('b', 1);
    at(1000);
    expect(clock.takeExpired(500).toSorted()).toEqual(['a', 'b']);
    clock.forget('b');
    at(1499);
    expect(clock.takeExpired(500)).toEqual([]);
    at(1500);
    expect(clock.takeExpired(500)).toEqual(['a']);
  });

  test('tells each use once, in wall-clock time', () => {
    const { clock } = clockAt(5);
    const before = Date.now();
    clock.watch('a', 1);
    const [[id, time] = ['', 0]] = clock.takeUnsaved();
    expect(id).toBe('a');
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(Date.now());
    expect(clock.takeUnsaved()).toEqual([]);
  });

  test('tells a use once it has moved by a twentieth of the timeout, and at the end whatever has moved', () => {
    const { clock, at } = clockAt();
    const told = (all = false) => clock.takeUnsaved(all).map(([id]) => id);
    clock.watch('a', 100);
    clock.watch('never', 0);
    expect(told()).toEqual(['a', 'never']);
    at(4999);
    clock.touch('a');
    clock.touch('never');
    expect(told()).toEqual([]);
    at(5000);
    clock.touch('a');
    expect(told()).toEqual(['a']);
    at(5001);
    clock.touch('a');
    expect(told()).toEqual([]);
    expect(told(true).toSorted()).toEqual(['a', 'never']);
    expect(told(true)).toEqual([]);
  });

  test('tells of a request under way as use up to now', () => {
    const { clock, at } = clockAt();
    clock.watch('a', 100);
    clock.takeUnsaved();
    const release = clock.hold('a');
    for (const ms of [10_000, 20_000, 30_000]) {
      at(ms);
      expect(clock.takeUnsaved().map(([id]) => id)).toEqual(['a']);
    }
    release();
    clock.takeUnsaved(true);
    at(40_000);
    expect(clock.takeUnsaved(true)).toEqual([]);
  });

  test('goes on after a restart with what is left, neither more nor less', () => {
    const { clock, at } = clockAt(1000);
    clock.resume('a', 100, Date.now() - 60_000);
    clock.resume('over', 100, Date.now() - 3_600_000);
    clock.resume('future', 100, Date.now() + 3_600_000);
    expect(clock.remainingMs('a')).toBeGreaterThan(39_000);
    expect(clock.remainingMs('a')).toBeLessThanOrEqual(40_000);
    expect(clock.remainingMs('future')).toBe(100_000);
    expect(clock.takeExpired(1000)).toEqual(['over']);
    at(41_000);
    expect(clock.takeExpired(1_000_000)).toEqual(['over', 'a']);
  });

  test('stands still while the guest has something in use, and starts anew when that ends', () => {
    const { clock, at } = clockAt();
    const sessions = [{ id: '0a1b2c3d', kind: 'session', command: 'npm ci' }];
    clock.watch('a', 10);
    at(10_000);
    clock.guestUse('a', { sessions, count: 1, idleMs: null });
    expect(clock.keptAwake('a')?.use.sessions).toEqual(sessions);
    expect(clock.expired('a')).toBe(false);
    at(20_000);
    // It ended 3 s ago.
    clock.guestUse('a', { sessions: [], count: 0, idleMs: 3000 });
    expect(clock.keptAwake('a')).toBeUndefined();
    expect(clock.remainingMs('a')).toBe(7000);
    at(27_000);
    expect(clock.expired('a')).toBe(true);
    // Longer ago than what is known to us changes nothing.
    clock.guestUse('a', { sessions: [], count: 0, idleMs: 1e12 });
    expect(clock.expired('a')).toBe(true);
  });

  test('never early, never more than a sweep late, whatever happens', () => {
    const action = fc.record({
      advance: fc.integer({ min: 0, max: 3000 }),
      what: fc.constantFrom('touch', 'watch', 'sweep'),
      seconds: fc.integer({ min: 1, max: 10 }),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        let now = 0;
        let due = 5000;
        let timeoutMs = 5000;
        const clock = new IdleClock(() => now);
        clock.watch('a', 5);
        for (const { advance, what, seconds } of actions) {
          now += advance;
          if (what === 'watch') {
            timeoutMs = seconds * 1000;
            clock.watch('a', seconds);
          }
          if (what === 'touch') clock.touch('a');
          if (what !== 'sweep') due = now + timeoutMs;
          else expect(clock.takeExpired(0)).toEqual(now >= due ? ['a'] : []);
        }
      }),
    );
  });
});

test('the heap gives its keys in the order of time', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 100 })), (times) => {
      const heap = new DeadlineHeap();
      for (const at of times) heap.push(String(at), at);
      const out: number[] = [];
      for (let next = heap.popDue(100); next !== undefined; next = heap.popDue(100)) out.push(next.at);
      expect(out).toEqual(times.toSorted((a, b) => a - b));
      expect(heap.popDue(100)).toBeUndefined();
    }),
  );
});
