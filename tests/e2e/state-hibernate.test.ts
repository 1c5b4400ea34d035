import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MachineInfo } from '@opencomputer/protocol';
import type { TestMachine } from '../support/test-machine.ts';
import { goesOn, startWitness, testimony } from '../support/witness.ts';
import { TestWorker } from '../support/worker.ts';

const cycles = 10;

/** How far the guest's clock is from the host's, in seconds; the time of the call itself does not count. */
async function clockError(machine: TestMachine): Promise<number> {
  const before = Date.now() / 1000;
  const guest = Number(await machine.output('date +%s.%N'));
  const after = Date.now() / 1000;
  return Math.max(before - guest, guest - after, 0);
}

/** A hash of many files as they are on disk, not in the guest's page cache. */
function filesOnDisk(machine: TestMachine, directory: string): Promise<string> {
  return machine.output(
    `sync; echo 3 > /proc/sys/vm/drop_caches; find ${directory} -type f -print0 | sort -z | xargs -0 cat | md5sum`,
  );
}

describe('hibernate and wake', () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  it(
    `keep processes, connections, files and commands over ${cycles} cycles`,
    { timeout: 300_000 },
    async () => {
      const machine = await worker.create();
      await startWitness(machine);
      await machine.output('echo on-tmpfs > /dev/shm/note; echo on-disk > /root/note');
      const bootId = await machine.output('cat /proc/sys/kernel/random/boot_id');
      const few = await filesOnDisk(machine, '/usr/lib/x86_64-linux-gnu/perl-base');
      const many = await filesOnDisk(machine, '/usr/lib/python3*');
      let told = await testimony(machine);
      // A guest that is not told the time would keep this.
      await machine.output('date -s "1 hour ago"');
      for (let cycle = 0; cycle < cycles; cycle++) {
        const command = await machine.begin('sleep 1; echo finished; exit 7');
        const { sizeBytes } = await machine.hibernate();
        expect(sizeBytes).toBeGreaterThan(1024 * 1024);
        expect(worker.processes().size).toBe(0);
        expect(worker.namespaces()).toEqual([]);
        expect(await machine.info()).toMatchObject({ state: 'hibernated', hibernationBytes: sizeBytes });
        const info = await machine.wake();
        expect(await clockError(machine)).toBeLessThan(2);
        expect(info).toMatchObject({ id: machine.id, state: 'running', startedFrom: 'memory' });
        expect(info.coldBootReason).toBeUndefined();
        expect(await machine.end(command)).toEqual({ exitCode: 7, stdout: 'finished\n', stderr: '' });
        told = await goesOn(machine, told);
        expect(await filesOnDisk(machine, '/usr/lib/x86_64-linux-gnu/perl-base')).toBe(few);
        expect(await machine.output('cat /dev/shm/note /root/note /proc/sys/kernel/random/boot_id')).toBe(
          `on-tmpfs\non-disk\n${bootId}`,
        );
        expect(worker.entries('machines', machine.id)).toEqual(['machine.json', 'qemu.log', 'run-1']);
      }
      expect(await filesOnDisk(machine, '/usr/lib/python3*')).toBe(many);
      await machine.delete();
    },
  );

  it('share one wake among callers at once, and one hibernation', async () => {
    const machine = await worker.create();
    await startWitness(machine);
    const told = await testimony(machine);
    const slept = await Promise.all(Array.from({ length: 4 }, () => machine.hibernate()));
    expect(new Set(slept.map(({ sizeBytes }) => sizeBytes)).size).toBe(1);
    const woken = await Promise.all(Array.from({ length: 8 }, () => machine.wake()));
    expect(new Set(woken.map(({ startedAt }) => startedAt)).size).toBe(1);
    expect(worker.processes().size).toBe(1);
    await goesOn(machine, told);
    await machine.delete();
  });

  it('let operations meanwhile either succeed or say that it hibernates', async () => {
    const machine = await worker.create();
    const waiting = machine.call('POST', '/exec', {
      json: { id: '00000001', argv: ['sleep', '2'], waitMs: 30_000 },
    });
    await machine.output('true');
    const sleeping = machine.hibernate();
    const meanwhile = await Promise.all([
      waiting,
      machine.call('GET', '/stats'),
      machine.call('PUT', '/files?path=/root/late', { body: Buffer.from('late') }),
      machine.call('POST', '/exec', { json: { id: '00000002', argv: ['true'] } }),
    ]);
    await sleeping;
    for (const answer of meanwhile)
      if (answer.status >= 300)
        expect({ status: answer.status, body: answer.body }).toMatchObject({
          status: 409,
          body: { code: 'conflict', hibernated: true },
        });
    await machine.wake();
    // The command that was waited for has gone on.
    expect(await machine.end('00000001')).toMatchObject({ exitCode: 0 });
    await machine.delete();
  });

  it('wake after the worker was started anew', async () => {
    const machine = await worker.create();
    await startWitness(machine);
    const told = await testimony(machine);
    await machine.hibernate();
    await worker.crash();
    await worker.startAgain();
    expect(await machine.info()).toMatchObject({ state: 'hibernated' });
    expect(await machine.wake()).toMatchObject({ startedFrom: 'memory' } satisfies Partial<MachineInfo>);
    await goesOn(machine, told);
    await machine.delete();
  });
});
