import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { publicState } from '@opencomputer/protocol';
import {
  explain,
  type Model,
  type Outcome,
  type Request,
} from '../../packages/server/src/testing/sandbox-model.ts';
import { type Answer, expectError, type TestSandbox } from '../support/api.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { sharedApi } from '../support/shared.ts';

const shape = { cpuCount: 1, memoryMB: 256 };

/** Counts in memory, and answers with the number. */
const count =
  "flock /dev/shm/lock sh -c 'echo $(($(cat /dev/shm/count 2>/dev/null || echo 0) + 1)) > /dev/shm/count; cat /dev/shm/count'";
const countTo = (sandbox: TestSandbox): Promise<number> => sandbox.output(count).then(Number);

let names = 0;

function ask(sandbox: TestSandbox, request: Request): Promise<Answer> {
  const post = (path: string, json: unknown = {}): Promise<Answer> => sandbox.call('POST', path, { json });
  const calls: Record<Request, () => Promise<Answer>> = {
    exec: () => sandbox.exec('sh', ['-c', count]),
    setTimeout: () => post('/timeout', { timeout: 0 }),
    hibernate: () => post('/hibernate'),
    wake: () => post('/wake'),
    reboot: () => post('/reboot'),
    powerCycle: () => post('/power-cycle'),
    checkpoint: () =>
      post('/checkpoints', { name: `c-${++names}`, retentionPolicy: { mode: 'delete_oldest', maxCount: 2 } }),
    stop: () => sandbox.call('DELETE', ''),
  };
  return calls[request]();
}

async function outcomeOf(sandbox: TestSandbox, request: Request): Promise<Outcome> {
  const { status, body, text } = await ask(sandbox, request);
  const code = typeof body['code'] === 'string' ? body['code'] : undefined;
  const refusal = code ?? (status < 300 ? undefined : `${status} ${text}`);
  if (refusal !== undefined) expect(body, text).toMatchObject({ hint: expect.any(String) });
  if (request !== 'exec' || refusal !== undefined) return { request, refusal };
  return { request, refusal, count: Number(body['stdout']) };
}

/** Directory of what the worker has of a sandbox or a checkpoint. */
function directoryOf(kind: 'machines' | 'snapshots', id: string): string {
  return join(inject('platform').dataDir, 'worker', kind, id);
}

async function checkpointOf(sandbox: TestSandbox): Promise<string> {
  const answer = await sandbox.call('POST', '/checkpoints', { json: { name: `c-${++names}` } });
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 201 });
  expect(answer.body).toMatchObject({ status: 'ready' });
  return answer.body['id'] as string;
}

const fork = (checkpoint: string): Promise<Answer> =>
  sharedApi().call('POST', `/api/sandboxes/from-checkpoint/${checkpoint}`, { json: { timeout: 0 } });

function madeBy(answer: Answer): TestSandbox {
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 201 });
  return sharedApi().sandbox(answer.body['sandboxID'] as string);
}

describe('requests at the same time', { timeout: 900_000 }, () => {
  it('are done in some order of the state table, and the memory is that of this order', async () => {
    const batches: Request[][] = [
      ['exec', 'exec', 'setTimeout'],
      ['checkpoint', 'checkpoint', 'exec'],
      ['hibernate', 'exec'],
      ['hibernate', 'hibernate'],
      ['wake', 'wake', 'exec'],
      ['checkpoint', 'hibernate'],
      ['hibernate', 'wake'],
      ['hibernate'],
      ['wake', 'hibernate', 'checkpoint', 'exec'],
      ['powerCycle', 'hibernate', 'exec'],
      ['stop', 'hibernate', 'stop'],
    ];
    const sandbox = await sharedApi().create(shape);
    let models: Model[] = [{ state: 'running', count: 0 }];
    for (const batch of batches) {
      const outcomes = await Promise.all(batch.map((request) => outcomeOf(sandbox, request)));
      const { status } = await sandbox.info();
      const told = JSON.stringify({ before: models, outcomes, now: status });
      models = explain(models, outcomes).filter(({ state }) => publicState(state) === status);
      expect(models, told).not.toEqual([]);
      if (status === 'stopped') break;
      expect(existsSync(join(directoryOf('machines', sandbox.id), 'hibernation')), told).toBe(
        status === 'hibernated',
      );
    }
    expect(publicState(models[0]?.state ?? 'error')).toBe('stopped');
    await eventually('nothing is left of it', () => !existsSync(directoryOf('machines', sandbox.id)));
  });

  it('to fork a checkpoint, to delete it and to stop its sandbox are each done whole or refused', async () => {
    const sandbox = await sharedApi().create(shape);
    await countTo(sandbox);
    const checkpoints = [await checkpointOf(sandbox), await checkpointOf(sandbox)] as const;
    const remove = (id: string): Promise<Answer> => sandbox.call('DELETE', `/checkpoints/${id}`);

    const [one, two, removed, again] = await Promise.all([
      fork(checkpoints[0]),
      fork(checkpoints[0]),
      remove(checkpoints[0]),
      remove(checkpoints[0]),
    ]);
    expect(removed.status).toBe(204);
    if (again.status !== 204) expectError(again, 404, 'checkpoint_not_found');
    expectError(await fork(checkpoints[0]), 404, 'checkpoint_not_found');

    const [three, stopped] = await Promise.all([fork(checkpoints[1]), ask(sandbox, 'stop')]);
    expect(stopped.status).toBe(204);
    // The checkpoint outlives its sandbox.
    const forks = [madeBy(three)];
    for (const answer of [one, two])
      if (answer.status === 201) forks.push(madeBy(answer));
      else expectError(answer, 404, 'checkpoint_not_found');
    expect((await remove(checkpoints[1])).status).toBe(204);
    for (const each of forks) {
      expect(await countTo(each)).toBe(2);
      await each.delete();
    }
    await eventually('nothing is left of them', () =>
      [...checkpoints.map((id) => directoryOf('snapshots', id))]
        .concat([sandbox, ...forks].map(({ id }) => directoryOf('machines', id)))
        .every((path) => !existsSync(path)),
    );
  });

  it('with a restore come before it, and are undone, or after it', async () => {
    const sandbox = await sharedApi().create(shape);
    const taken = await countTo(sandbox);
    const checkpoint = await checkpointOf(sandbox);
    const restore = (): Promise<Answer> => sandbox.call('POST', `/checkpoints/${checkpoint}/restore`);
    let last = taken;
    for (const other of ['exec', 'hibernate', 'checkpoint'] as const) {
      const [restored, outcome] = await Promise.all([restore(), outcomeOf(sandbox, other)]);
      expect(restored.status, restored.text).toBe(200);
      expect(restored.body['error']).toBeUndefined();
      // A command that the restore overtook has been undone, and says so.
      const overtaken = other === 'exec' && outcome.refusal === 'guest_failed';
      if (!overtaken) expect(outcome.refusal).toBeUndefined();
      if (other === 'hibernate') expect(['running', 'hibernated']).toContain((await sandbox.info()).status);
      const next = await countTo(sandbox);
      if (other !== 'exec' || overtaken) expect(next).toBe(taken + 1);
      // After the restore it went on from the checkpoint; before, from where the sandbox was.
      else
        expect([
          [taken + 1, taken + 2],
          [last + 1, taken + 1],
        ]).toContainEqual([outcome.count, next]);
      last = next;
    }
    const [first, second] = await Promise.all([restore(), restore()]);
    expect([first.status, second.status]).toEqual([200, 200]);
    expect(await countTo(sandbox)).toBe(taken + 1);
    await sandbox.delete();
    expect((await sandbox.call('DELETE', `/checkpoints/${checkpoint}`)).status).toBe(204);
  });
});
