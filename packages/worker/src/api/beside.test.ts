import { ApiError } from '@opencomputer/protocol';
import { describe, expect, test } from 'vitest';
import { Gate } from '../machine/gate.ts';
import { failureOf } from '../testing/scratch.ts';
import { beside } from './beside.ts';

const cutOff = (): ApiError => new ApiError('guest_failed', 'the guest closed the call without an answer');

describe('a call beside the changes of a machine', () => {
  test('is never begun while the gate is closed, however closely one change follows another', async () => {
    const gate = new Gate();
    await gate.close(0);
    let begun = 0;
    const call = beside(
      () => ({ gate }),
      () => {
        begun += 1;
        return Promise.resolve(gate.isOpen);
      },
    );
    for (let change = 0; change < 20; change++) {
      gate.open();
      // Enough turns of the event loop for a caller that awaited the opening to go on, and then the next change begins.
      for (let turn = 0; turn < change; turn++) await Promise.resolve();
      if (begun > 0) break;
      await gate.close(0);
    }
    gate.open();
    expect(await call).toBe(true);
    expect(begun).toBe(1);
  });

  test('is made again after a change that cut it off, on the machine that is there then', async () => {
    const before = { gate: new Gate(), name: 'before' };
    const after = { gate: new Gate(), name: 'after' };
    let machine = before;
    const seen: string[] = [];
    const call = beside(
      () => machine,
      async ({ gate, name }) => {
        seen.push(name);
        if (name === 'after') return 'answer';
        await gate.close(0);
        throw cutOff();
      },
    );
    await new Promise((resolve) => setImmediate(resolve));
    machine = after;
    before.gate.open();
    expect(await call).toBe('answer');
    expect(seen).toEqual(['before', 'after']);
  });

  test('fails as the guest fails it where no change came between', async () => {
    const gate = new Gate();
    let calls = 0;
    const call = beside(
      () => ({ gate }),
      () => {
        calls += 1;
        return Promise.reject(cutOff());
      },
    );
    expect(await failureOf(call)).toMatchObject({ code: 'guest_failed' });
    expect(calls).toBe(1);
  });

  test('is refused where the machine does not run afterwards', async () => {
    const gate = new Gate();
    let dormant = false;
    const call = beside(
      () => {
        if (dormant) throw new ApiError('conflict', 'the sandbox is hibernated');
        return { gate };
      },
      async () => {
        await gate.close(0);
        dormant = true;
        gate.open();
        throw cutOff();
      },
    );
    expect(await failureOf(call)).toMatchObject({ code: 'conflict' });
  });
});
