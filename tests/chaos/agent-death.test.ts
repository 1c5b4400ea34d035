import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestMachine } from '../support/test-machine.ts';
import { goesOn, startWitness, testimony } from '../support/witness.ts';
import { TestWorker } from '../support/worker.ts';

/** Far below the 90 s after which a call to a guest gives up by itself. */
const soonMs = 45_000;

describe('an agent that dies', { timeout: 600_000 }, () => {
  let worker: TestWorker;
  let machine: TestMachine;

  beforeAll(async () => {
    worker = await TestWorker.start();
    machine = await worker.create();
    await startWitness(machine);
  });
  afterAll(() => worker?.destroy());

  it('fails the calls that wait for it, and another one answers the next', async () => {
    const told = await testimony(machine);
    const lost = await machine.begin('sleep 1000');
    const waiting = machine.call('GET', `/exec/${lost}?waitMs=60000`, { withinMs: soonMs });
    const id = randomBytes(4).toString('hex');
    const json = {
      id,
      argv: ['bash', '-c', 'kill -9 $(pgrep -o -f opencomputer/agent); sleep 1000'],
      user: 'root',
    };
    const killing = machine.call('POST', '/exec', { json, withinMs: soonMs });
    for (const { status, body } of await Promise.all([waiting, killing])) {
      expect(status).toBeGreaterThanOrEqual(500);
      expect(body).toMatchObject({
        code: 'guest_failed',
        error: expect.stringMatching(/does not answer any more/),
      });
    }
    const next = await machine.call('GET', '/stats', { withinMs: soonMs });
    expect(next.status).toBe(200);
    // What it had started goes on, and is not known any more.
    await goesOn(machine, told);
    expect(await machine.call('GET', `/exec/${lost}`)).toMatchObject({
      status: 404,
      body: { code: 'exec_not_found' },
    });
  });
});
