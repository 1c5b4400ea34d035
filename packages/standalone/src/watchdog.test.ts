import { describe, expect, onTestFinished, test } from 'vitest';
import { Watchdog } from './watchdog.ts';

const options = { intervalMs: 10_000, silences: 3, startingSilences: 60, probeMs: 120_000 };

/** A watchdog whose ticks are made by the test, 10 s apart unless it says otherwise. */
function watch({ ready = true } = {}) {
  const asked: number[] = [];
  const dead: string[] = [];
  const watchdog = new Watchdog(
    { ask: ({ heartbeat }) => void asked.push(heartbeat), dead: (reason) => void dead.push(reason) },
    options,
    0,
  );
  onTestFinished(() => watchdog.stop());
  if (ready) watchdog.heard('ready');
  let now = 0;
  const tick = (times = 1, ms = options.intervalMs): void => {
    for (let time = 0; time < times && dead.length === 0; time++) watchdog.tick((now += ms));
  };
  const answer = (probeMs = 0): void => watchdog.heard({ heartbeat: asked.at(-1), probeMs });
  return { tick, answer, dead, heard: (message: unknown) => watchdog.heard(message) };
}

describe('the watchdog', () => {
  test('ends a part after three questions without an answer, not after two', () => {
    const { tick, dead } = watch();
    tick(3);
    expect(dead).toEqual([]);
    tick();
    expect(dead).toEqual(['its event loop has not answered for 30 s']);
  });

  test('begins to count again when an answer comes late', () => {
    const { tick, answer, dead } = watch();
    tick(3);
    answer();
    tick(3);
    expect(dead).toEqual([]);
  });

  test('counts nothing for pauses of its own', () => {
    const { tick, answer, dead } = watch();
    tick(3);
    for (let pause = 0; pause < 10; pause++) {
      tick(1, 3_600_000);
      tick(2);
    }
    expect(dead).toEqual([]);
    answer();
    tick(1, 3_600_000);
    expect(dead).toEqual([]);
  });

  test('gives one that starts ten minutes', () => {
    const { tick, dead } = watch({ ready: false });
    tick(60);
    expect(dead).toEqual([]);
    tick();
    expect(dead).toEqual(['its event loop has not answered for 600 s']);
  });

  test('does not count against one that is ready what it did not answer while it started', () => {
    const { tick, dead, heard } = watch({ ready: false });
    tick(30);
    heard('ready');
    tick(2);
    expect(dead).toEqual([]);
    tick();
    expect(dead).toHaveLength(1);
  });

  test('ends one whose threads have been busy for two minutes, though it answers', () => {
    const { tick, answer, dead } = watch();
    tick();
    for (let probeMs = 0; probeMs <= 120_000; probeMs += 10_000) {
      answer(probeMs);
      tick();
    }
    expect(dead).toEqual([]);
    answer(130_000);
    tick();
    expect(dead).toEqual(['it has had no free thread for files for 130 s']);
  });

  test.each([
    undefined,
    null,
    'x',
    { heartbeat: 99, probeMs: 0 },
    { heartbeat: 1 },
    { heartbeat: 1, probeMs: 'x' },
  ])('takes %j for no answer', (message) => {
    const { tick, dead, heard } = watch();
    for (let time = 0; time < 4; time++) {
      tick();
      heard(message);
    }
    expect(dead).toHaveLength(1);
  });
});
