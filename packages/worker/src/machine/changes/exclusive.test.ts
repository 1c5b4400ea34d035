import { describe, expect, it } from 'vitest';
import { failureOf } from '../../testing/scratch.ts';
import { Exclusive } from './exclusive.ts';

describe('exclusive changes', () => {
  it('of one thing follow each other in the order in which they were asked for', async () => {
    const exclusive = new Exclusive();
    const events: string[] = [];
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const changes = gates.map((gate, index) =>
      exclusive.run('a', async () => {
        events.push(`begin ${index}`);
        await gate.promise;
        events.push(`end ${index}`);
        return index;
      }),
    );
    gates[1]?.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    expect(events).toEqual(['begin 0']);
    gates[0]?.resolve();
    expect(await Promise.all(changes)).toEqual([0, 1]);
    expect(events).toEqual(['begin 0', 'end 0', 'begin 1', 'end 1']);
  });

  it('of different things run side by side', async () => {
    const exclusive = new Exclusive();
    const stuck = Promise.withResolvers<void>();
    const first = exclusive.run('a', () => stuck.promise);
    expect(await exclusive.run('b', () => Promise.resolve('b'))).toBe('b');
    stuck.resolve();
    await first;
  });

  it('go on after one that failed, which tells its caller alone', async () => {
    const exclusive = new Exclusive();
    const failed = failureOf(exclusive.run('a', () => Promise.reject(new Error('bad'))));
    const next = exclusive.run('a', () => Promise.resolve('good'));
    expect((await failed).message).toBe('bad');
    expect(await next).toBe('good');
  });

  it('that are asked for by one that runs come after those that wait already', async () => {
    const exclusive = new Exclusive();
    const events: string[] = [];
    let inner: Promise<unknown> = Promise.resolve();
    const outer = exclusive.run('a', async () => {
      inner = exclusive.run('a', () => Promise.resolve(events.push('inner')));
      events.push('outer');
    });
    const second = exclusive.run('a', () => Promise.resolve(events.push('second')));
    await Promise.all([outer, second]);
    await inner;
    expect(events).toEqual(['outer', 'second', 'inner']);
  });
});
