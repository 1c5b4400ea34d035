import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { failure, getSandbox, request, secondKey } from '../../raw-api.ts';
import { goesOn, startCounter } from './counter.ts';
import { onItsOwn } from './own.ts';
import type { SandboxHandle } from '../../clients/client.ts';
import type { Scenario } from '../scenario.ts';

async function names(sandbox: SandboxHandle): Promise<string[]> {
  return (await sandbox.listCheckpoints()).map(({ name }) => name);
}

export const checkpointScenarios: Scenario[] = [
  {
    name: 'checkpoints are listed newest first with their fields, and each name is there once',
    run: onItsOwn(async ({ client, sandbox }) => {
      expect(await sandbox.listCheckpoints()).toEqual([]);
      const first = await sandbox.createCheckpoint('first');
      expect(first).toMatchObject({ sandboxId: sandbox.sandboxId, name: 'first', kind: 'full' });
      await sandbox.createCheckpoint('second');
      const refused = await failure(sandbox.createCheckpoint('first'), 409);
      expect(refused.message).toContain('first');
      await expect
        .poll(async () => (await sandbox.listCheckpoints()).map(({ status }) => status), { timeout: 60_000 })
        .toEqual(['ready', 'ready']);
      const list = await sandbox.listCheckpoints();
      expect(list.map(({ name }) => name)).toEqual(['second', 'first']);
      expect(list[1]).toMatchObject({
        id: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
        sandboxId: sandbox.sandboxId,
        name: 'first',
        kind: 'full',
        status: 'ready',
        isPublic: false,
        createdAt: first.createdAt,
      });
      expect(list[1]?.id).toBe(first.id);
      const onTheWire = await request('GET', `/api/sandboxes/${sandbox.sandboxId}/checkpoints`);
      const asTold = { orgId: expect.stringMatching(/./), sandboxConfig: { template: 'base' } };
      expect(await onTheWire.json()).toMatchObject([asTold, asTold]);
      for (const { sizeBytes } of list) expect(sizeBytes).toBeGreaterThan(0);
      expect(Math.abs(Date.parse(first.createdAt) - Date.now())).toBeLessThan(180_000);
      expect(await sandbox.isRunning()).toBe(true);

      await sandbox.deleteCheckpoint(first.id);
      expect(await names(sandbox)).toEqual(['second']);
      await failure(client.createFromCheckpoint(first.id), 404);
      await failure(sandbox.restoreCheckpoint(first.id), 404);
      await sandbox.createCheckpoint('first');
      expect(await names(sandbox)).toEqual(['first', 'second']);
    }),
  },
  {
    name: 'restoreCheckpoint puts files, memory and processes back',
    run: onItsOwn(async ({ sandbox }) => {
      await sandbox.files.write('note', 'then');
      await sandbox.files.write('/dev/shm/note', 'then');
      const before = await startCounter(sandbox);
      const { id } = await sandbox.createCheckpoint('then');
      await sandbox.files.write('note', 'later');
      await sandbox.files.write('/dev/shm/note', 'later');
      await sandbox.files.write('only-later', 'x');
      await sandbox.exec.run(`kill ${before.process}`);
      for (let round = 0; round < 2; round++) {
        await sandbox.restoreCheckpoint(id);
        expect((await getSandbox(sandbox.sandboxId)).status).toBe('running');
        expect(await sandbox.files.read('note')).toBe('then');
        expect(await sandbox.files.read('/dev/shm/note')).toBe('then');
        expect(await sandbox.files.exists('only-later')).toBe(false);
        await goesOn(sandbox, before);
        await sandbox.files.write('note', 'later again');
      }
    }),
  },
  {
    name: 'retention deletes the oldest of the kind, and only those',
    expensive: true,
    run: onItsOwn(async ({ sandbox }) => {
      await sandbox.createCheckpoint('of the disk', { kind: 'disk_only' });
      const retentionPolicy = { mode: 'delete_oldest', maxCount: 2 } as const;
      for (const name of ['one', 'two', 'three', 'four'])
        await sandbox.createCheckpoint(name, { retentionPolicy });
      await expect.poll(() => names(sandbox), { timeout: 60_000 }).toEqual(['four', 'three', 'of the disk']);
    }),
  },
  {
    name: 'checkpoints that cannot be are refused, and nothing changes',
    run: onItsOwn(async ({ client, sandbox, keep }) => {
      const policy = (maxCount: number) => ({
        retentionPolicy: { mode: 'delete_oldest', maxCount } as const,
      });
      const refused = [
        ['', {}, /name/],
        ['x'.repeat(2000), {}, /name/],
        ['a\u0000b', {}, /name/],
        ['kind', { kind: 'half' as 'full' }, /kind/],
        ['promote', { kind: 'full', promoteToFull: true }, /promoteToFull/],
        ['few', policy(0), /maxCount/],
        ['many', policy(11), /maxCount/],
      ] as const;
      for (const [name, options, message] of refused)
        expect((await failure(sandbox.createCheckpoint(name, options), 400)).message).toMatch(message);
      expect(await sandbox.listCheckpoints()).toEqual([]);

      const unknown = randomUUID();
      await failure(client.createFromCheckpoint(unknown), 404);
      await failure(sandbox.restoreCheckpoint(unknown), 404);
      await failure(client.createCheckpointPatch(unknown, { script: 'true' }), 404);
      await failure(client.listCheckpointPatches(unknown), 404);
      const other = await keep(client.create({ timeout: 900 }));
      const { id } = await other.createCheckpoint('of another');
      await failure(sandbox.restoreCheckpoint(id), 400);
      await failure(client.createFromCheckpoint(id, { envs: { 'A=B': 'x' } }), 400);
      await failure(client.createFromCheckpoint(id, { timeout: -1 }), 400);
      // The published client takes "not found" for "deleted".
      if (client.origin === 'ours') await failure(sandbox.deleteCheckpoint(id), 404);
      else await sandbox.deleteCheckpoint(id);
      expect(await names(other)).toEqual(['of another']);
      await other.kill();
      await failure(other.createCheckpoint('too late'), 410);
    }),
  },
  {
    name: 'checkpoints of another tenant are not found',
    tenants: true,
    run: onItsOwn(async ({ client, sandbox }) => {
      const { id } = await sandbox.createCheckpoint('mine');
      const apiKey = secondKey;
      await failure(client.createFromCheckpoint(id, { apiKey }), 404);
      await failure(client.createCheckpointPatch(id, { script: 'true', apiKey }), 404);
      await failure(client.listCheckpointPatches(id, { apiKey }), 404);
    }),
  },
];
