import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InputQueue } from './input.ts';

/** A session that takes input in order, over connections that may break with frames under way. */
class Session {
  taken = Buffer.alloc(0);
  #underWay: Buffer[] = [];

  send(part: Buffer): void {
    this.#underWay.push(Buffer.from(part));
  }

  take(): void {
    const part = this.#underWay.shift();
    if (part !== undefined) this.taken = Buffer.concat([this.taken, part]);
  }

  breakOff(): void {
    this.#underWay = [];
  }
}

const step = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((data) => ({ kind: 'push' as const, data })),
  fc.record({ kind: fc.constant('send' as const), max: fc.integer({ min: 1, max: 50 }) }),
  fc.constant({ kind: 'take' as const }),
  fc.constant({ kind: 'acknowledge' as const }),
  fc.constant({ kind: 'break' as const }),
);

describe('input', () => {
  test('arrives once and in order over any number of broken connections', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const queue = new InputQueue();
        const session = new Session();
        const pushed: Buffer[] = [];
        queue.restart(0);
        for (const turn of steps) {
          if (turn.kind === 'push') {
            pushed.push(Buffer.from(turn.data));
            queue.push(Buffer.from(turn.data));
          } else if (turn.kind === 'send') {
            const part = queue.next(turn.max);
            if (part === undefined) continue;
            expect(part.length).toBeLessThanOrEqual(turn.max);
            session.send(part);
          } else if (turn.kind === 'take') session.take();
          else if (turn.kind === 'acknowledge') queue.acknowledge(session.taken.length);
          else {
            session.breakOff();
            queue.restart(session.taken.length);
          }
          expect(queue.bytes).toBeLessThanOrEqual(Buffer.concat(pushed).length);
        }
        session.breakOff();
        queue.restart(session.taken.length);
        for (let part = queue.next(7); part !== undefined; part = queue.next(7)) {
          session.send(part);
          session.take();
          queue.acknowledge(session.taken.length);
        }
        expect(session.taken).toEqual(Buffer.concat(pushed));
        expect(queue.bytes).toBe(0);
      }),
    );
  });

  test('counts from what its writer had sent before', () => {
    const queue = new InputQueue();
    queue.push(Buffer.from('abc'));
    queue.restart(1000);
    expect(queue.next(10)?.toString()).toBe('abc');
    queue.acknowledge(1002);
    expect(queue.bytes).toBe(1);
    queue.restart(1002);
    expect(queue.next(10)?.toString()).toBe('c');
  });

  test('goes on after a session that was put back to before it', () => {
    const queue = new InputQueue();
    queue.restart(500);
    queue.push(Buffer.from('abc'));
    queue.next(10);
    queue.restart(20);
    expect(queue.next(10)?.toString()).toBe('abc');
    queue.acknowledge(23);
    expect(queue.bytes).toBe(0);
  });

  test('ends after the last byte, and again on the next connection', () => {
    const queue = new InputQueue();
    queue.restart(0);
    queue.push(Buffer.from('x'));
    queue.end();
    queue.push(Buffer.from('too late'));
    expect(queue.takeEnd()).toBe(false);
    expect(queue.next(10)?.toString()).toBe('x');
    expect([queue.takeEnd(), queue.takeEnd()]).toEqual([true, false]);
    queue.restart(1);
    expect([queue.next(10), queue.takeEnd()]).toEqual([undefined, true]);
  });

  test('holds its writer back, and keeps few frames under way', () => {
    const queue = new InputQueue();
    queue.restart(0);
    queue.push(Buffer.alloc(256 * 1024));
    expect(queue.full).toBe(true);
    const sent = Array.from({ length: 6 }, () => queue.next(1024)?.length);
    expect(sent).toEqual([1024, 1024, 1024, 1024, undefined, undefined]);
    queue.acknowledge(1024);
    expect([queue.full, queue.next(1024)?.length]).toEqual([false, 1024]);
  });
});
