import { describe, expect, it, vi } from 'vitest';
import { failureOf } from '../testing/scratch.ts';
import { Gate } from './gate.ts';

/** Whether a promise is settled once all due microtasks have run. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  const note = (): void => {
    done = true;
  };
  promise.then(note, note);
  await new Promise((resolve) => setImmediate(resolve));
  return done;
}

describe('a gate', () => {
  it('lets calls in side by side', async () => {
    const gate = new Gate();
    const first = Promise.withResolvers<string>();
    const slow = gate.pass(() => first.promise);
    expect(await gate.pass(() => Promise.resolve('second'))).toBe('second');
    first.resolve('first');
    expect(await slow).toBe('first');
  });

  it('keeps calls waiting from its closing to its opening', async () => {
    const gate = new Gate();
    await gate.close(1000);
    const call = vi.fn(() => Promise.resolve('done'));
    const waiting = gate.pass(call);
    expect(await settled(waiting)).toBe(false);
    expect(call).not.toHaveBeenCalled();
    gate.open();
    expect(await waiting).toBe('done');
  });

  it('closes once the calls inside are over, failed ones too', async () => {
    const gate = new Gate();
    const good = Promise.withResolvers<void>();
    const bad = Promise.withResolvers<void>();
    const inside = [gate.pass(() => good.promise), gate.pass(() => bad.promise)];
    const failed = failureOf(inside[1] ?? good.promise);
    const closing = gate.close(60_000);
    expect(await settled(closing)).toBe(false);
    good.resolve();
    expect(await settled(closing)).toBe(false);
    bad.reject(new Error('bad'));
    await closing;
    expect((await failed).message).toBe('bad');
  });

  it('waits for a call inside at most the given time, and lets that call end', async () => {
    const gate = new Gate();
    const stuck = Promise.withResolvers<string>();
    const inside = gate.pass(() => stuck.promise);
    await gate.close(20);
    const later = gate.pass(() => Promise.resolve('later'));
    stuck.resolve('late');
    expect(await inside).toBe('late');
    expect(await settled(later)).toBe(false);
    gate.open();
    expect(await later).toBe('later');
  });

  it('lets those go who waited for an earlier closing, though it was closed again before it opened', async () => {
    const gate = new Gate();
    await gate.close(0);
    const early = gate.pass(() => Promise.resolve('early'));
    await gate.close(0);
    gate.open();
    expect(await early).toBe('early');
  });

  it('keeps those waiting who come when it was closed again at once', async () => {
    const gate = new Gate();
    await gate.close(0);
    const waiting = gate.waitOpen();
    gate.open();
    const closing = gate.close(0);
    await closing;
    expect(await settled(waiting)).toBe(false);
    gate.open();
    await waiting;
  });

  it('counts how often it was closed', async () => {
    const gate = new Gate();
    expect(gate.closings).toBe(0);
    await gate.close(0);
    gate.open();
    await gate.close(0);
    expect(gate.closings).toBe(2);
  });

  it('refuses those who have waited for too long', async () => {
    const gate = new Gate(20);
    await gate.close(0);
    expect(await failureOf(gate.pass(() => Promise.resolve()))).toMatchObject({ code: 'busy' });
    gate.open();
    expect(await gate.pass(() => Promise.resolve('later'))).toBe('later');
  });
});
