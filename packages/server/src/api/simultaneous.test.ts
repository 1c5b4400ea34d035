import { array, assert, asyncProperty, constant, constantFrom, oneof, scheduler } from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { publicState } from '@opencomputer/protocol';
import { TestServer } from '../testing/harness.ts';
import { explain, type Model, type Outcome, type Request, requests } from '../testing/sandbox-model.ts';

const runs = Number(process.env['OPENCOMPUTER_TEST_RUNS'] ?? 60);
const seed = Number(process.env['OPENCOMPUTER_TEST_SEED'] ?? Date.now() % 1_000_000);

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ OPENCOMPUTER_MAX_SANDBOXES: '1000' });
});
afterAll(() => server[Symbol.asyncDispose]());

let names = 0;

/** Makes a request as a client does, and waits for its answer. */
async function make(id: string, request: Request): Promise<Outcome> {
  const at = `/api/sandboxes/${id}`;
  const calls: Record<Request, () => ReturnType<TestServer['call']>> = {
    exec: () => server.call('POST', `${at}/exec/run`, { cmd: 'count' }),
    setTimeout: () => server.call('POST', `${at}/timeout`, { timeout: 600 }),
    hibernate: () => server.call('POST', `${at}/hibernate`),
    wake: () => server.call('POST', `${at}/wake`),
    reboot: () => server.call('POST', `${at}/reboot`),
    powerCycle: () => server.call('POST', `${at}/power-cycle`),
    checkpoint: () =>
      server.call('POST', `${at}/checkpoints`, {
        name: `c-${++names}`,
        retentionPolicy: { mode: 'delete_oldest' },
      }),
    stop: () => server.call('DELETE', at),
  };
  const { status, json, text } = await calls[request]();
  const refusal: string | undefined = json?.code ?? (status < 300 ? undefined : `${status} ${text}`);
  if (refusal !== undefined) expect(json, text).toMatchObject({ hint: expect.any(String) });
  const count = request === 'exec' && refusal === undefined ? { count: Number(json.stdout) } : {};
  return { request, refusal, ...count };
}

// A stop ends the run of a sandbox: rarer than the rest, so that much happens before.
const request = oneof(
  { weight: 9, arbitrary: constantFrom(...requests.filter((name) => name !== 'stop')) },
  { weight: 1, arbitrary: constant<Request>('stop') },
);
const batches = array(array(request, { minLength: 2, maxLength: 6 }), { minLength: 1, maxLength: 4 });

test(
  `requests at the same time are done in some order of the state table (seed ${seed})`,
  { timeout: 600_000 },
  async () => {
    await assert(
      asyncProperty(batches, scheduler(), async (work, turns) => {
        server.worker.turn = (call) => turns.schedule(Promise.resolve(), call);
        const id = await turns.waitFor(server.create({ timeout: 0 }));
        let models: Model[] = [{ state: 'running', count: 0 }];
        for (const batch of work) {
          const outcomes = await turns.waitFor(Promise.all(batch.map((each) => make(id, each))));
          const { json } = await server.call('GET', `/api/sandboxes/${id}`);
          const told = JSON.stringify({ before: models, outcomes, now: json.status });
          models = explain(models, outcomes).filter(({ state }) => publicState(state) === json.status);
          expect(models, told).not.toEqual([]);
          const machine = server.worker.machines.get(id)?.info.state;
          expect(machine, told).toBe(json.status === 'stopped' ? undefined : json.status);
        }
        await turns.waitFor(make(id, 'stop'));
      }),
      { seed, numRuns: runs },
    );
  },
);
