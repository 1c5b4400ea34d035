import { expect } from 'vitest';
import { getSandbox } from '../../raw-api.ts';
import { goesOn, startCounter } from './counter.ts';
import { onItsOwn } from './own.ts';
import type { SandboxHandle } from '../../clients/client.ts';
import type { Scenario } from '../scenario.ts';

const identity =
  'hostname; cat /etc/machine-id /proc/sys/kernel/random/uuid; head -c 64 /dev/urandom | base64 -w0; echo';

/** Expects that no two say the same about who they are. */
async function differ(sandboxes: SandboxHandle[]): Promise<void> {
  const told = await Promise.all(sandboxes.map((sandbox) => sandbox.exec.run(identity)));
  const values = told.flatMap(({ stdout }) => stdout.trim().split('\n'));
  expect(values).toHaveLength(4 * sandboxes.length);
  expect(new Set(values).size).toBe(values.length);
  for (const [index, { stdout }] of told.entries())
    expect(stdout.split('\n')[0]).toBe(sandboxes[index]?.sandboxId);
}

export const forkScenarios: Scenario[] = [
  {
    name: 'forks made at once after createCheckpoint go on with its processes under identities of their own',
    expensive: true,
    run: onItsOwn(async ({ client, sandbox, keep }) => {
      await sandbox.files.write('note', 'then');
      const before = await startCounter(sandbox);
      const { id } = await sandbox.createCheckpoint('ready');
      const forks = await Promise.all([
        keep(client.createFromCheckpoint(id, { envs: { SEED: '1' }, timeout: 600 })),
        keep(client.createFromCheckpoint(id, { envs: { SEED: '2', FROM_SANDBOX: 'fork' }, timeout: 700 })),
      ]);
      await sandbox.files.write('note', 'later');
      for (const fork of forks) {
        expect(fork.status).toBe('running');
        expect(await fork.files.read('note')).toBe('then');
        await goesOn(fork, before);
      }
      const seen = await Promise.all(forks.map((fork) => fork.exec.run('echo $SEED-$FROM_SANDBOX')));
      expect(seen.map(({ stdout }) => stdout)).toEqual(['1-sandbox\n', '2-fork\n']);
      const kept = await Promise.all(forks.map((fork) => getSandbox(fork.sandboxId)));
      expect(kept.map(({ timeout }) => timeout)).toEqual([600, 700]);
      await differ([sandbox, ...forks]);
      await goesOn(sandbox, before);

      // Forks stand on their own: neither the checkpoint nor the origin is needed any more.
      await sandbox.deleteCheckpoint(id);
      await sandbox.kill();
      for (const fork of forks) await goesOn(fork, before);
    }),
  },
  {
    name: 'a checkpoint of the disk alone has the files, and its forks boot',
    expensive: true,
    run: onItsOwn(async ({ client, sandbox, keep }) => {
      await startCounter(sandbox);
      await sandbox.exec.run('echo then > note; sync');
      const checkpoint = await sandbox.createCheckpoint('disk', { kind: 'disk_only' });
      expect(checkpoint).toMatchObject({ kind: 'disk_only' });
      await sandbox.files.write('note', 'later');
      const fork = await keep(client.createFromCheckpoint(checkpoint.id, { timeout: 600 }));
      const look = 'hostname; cat note; test ! -e /dev/shm/count && echo booted; echo $FROM_SANDBOX';
      expect((await fork.exec.run(look)).stdout).toBe(`${fork.sandboxId}\nthen\nbooted\nsandbox\n`);
      const told = await getSandbox(fork.sandboxId);
      expect(told).toMatchObject({ status: 'running', startedFrom: 'disk' });
      expect(told).not.toHaveProperty('coldBootReason');
    }),
  },
  {
    name: 'patches are listed in order, deleted, and run by forks until one fails',
    run: onItsOwn(async ({ client, sandbox, keep }) => {
      const { id } = await sandbox.createCheckpoint('patched');
      expect(await client.listCheckpointPatches(id)).toEqual([]);
      const log = '/home/sandbox/patches';
      const add = async (script: string, description?: string) =>
        (await client.createCheckpointPatch(id, { script, ...(description ? { description } : {}) })).patch;
      const one = await add(`echo one >> ${log}`, 'the first');
      expect(one).toMatchObject({
        checkpointId: id,
        script: `echo one >> ${log}`,
        description: 'the first',
        strategy: 'on_wake',
      });
      const gone = await add(`echo gone >> ${log}`);
      await add(`[[ -n $BASH ]] && echo two >> ${log}`);
      const broken = await add('echo the reason >&2; exit 3', 'broken');
      await add(`echo never >> ${log}`);
      await client.deleteCheckpointPatch(id, gone.id);
      const patches = await client.listCheckpointPatches(id);
      expect(patches.map(({ sequence }) => sequence)).toEqual(
        patches.map(({ sequence }) => sequence).toSorted((a, b) => a - b),
      );
      expect(patches[0]).toEqual(one);
      expect(patches).toHaveLength(4);

      const fork = await keep(client.createFromCheckpoint(id));
      expect(await fork.files.read(log)).toBe('one\ntwo\n');
      expect((await getSandbox(fork.sandboxId)).patchError).toMatch(/3.*the reason/);
      await client.deleteCheckpointPatch(id, broken.id);
      const better = await keep(client.createFromCheckpoint(id));
      expect(await better.files.read(log)).toBe('one\ntwo\nnever\n');
      expect(await getSandbox(better.sandboxId)).not.toHaveProperty('patchError');
      expect(await sandbox.files.exists(log)).toBe(false);
      await expect(client.createCheckpointPatch(id, { script: ' ' })).rejects.toThrow(/script/);
    }),
  },
  {
    name: 'a sandbox forks itself several times in one call, leaving a checkpoint only under a name',
    cannot: { published: 'it has no fork()' },
    run: onItsOwn(async ({ sandbox, keepAll }) => {
      const before = await startCounter(sandbox);
      const forks = await keepAll(sandbox.fork?.({ count: 2, envs: { ROLE: 'copy' } }));
      expect(forks).toHaveLength(2);
      await differ([sandbox, ...forks]);
      for (const fork of forks) {
        await goesOn(fork, before);
        expect((await fork.exec.run('echo $ROLE')).stdout).toBe('copy\n');
      }
      await expect.poll(() => sandbox.listCheckpoints(), { timeout: 240_000 }).toEqual([]);
      await keepAll(sandbox.fork?.({ name: 'kept' }));
      expect((await sandbox.listCheckpoints()).map(({ name }) => name)).toEqual(['kept']);
    }),
  },
  {
    name: 'one call makes several forks of a checkpoint',
    cannot: { published: 'it has no static fork()' },
    run: onItsOwn(async ({ client, sandbox, keepAll }) => {
      const before = await startCounter(sandbox);
      const { id } = await sandbox.createCheckpoint('many');
      const metadata = { batch: 'x' };
      const forks = await keepAll(client.fork?.(id, { count: 2, timeout: 600, metadata }));
      expect(forks).toHaveLength(2);
      await differ(forks);
      for (const fork of forks) {
        await goesOn(fork, before);
        expect(await getSandbox(fork.sandboxId)).toMatchObject({ timeout: 600, metadata });
      }
      for (const count of [0, 51, 1.5]) {
        const refused = keepAll(client.fork?.(id, { count }));
        await expect(refused).rejects.toThrow(/count/);
      }
    }),
  },
];
