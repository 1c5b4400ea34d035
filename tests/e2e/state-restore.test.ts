import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '@opencomputer/testing/eventually';
import type { TestMachine } from '../support/test-machine.ts';
import { goesOn, startWitness, testimony } from '../support/witness.ts';
import { TestWorker } from '../support/worker.ts';

const bootMs = 300_000;

describe('restore in place', () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  it('brings the state back, twice, and from hibernation, and keeps the identity', async () => {
    const machine = await worker.create({ env: { WHO: 'me' } });
    await startWitness(machine);
    await machine.output('echo then > /dev/shm/note; echo then > /root/note');
    const identity = await machine.output('cat /etc/machine-id; hostname; echo $WHO');
    const told = await testimony(machine);
    const { id: snapshot } = await machine.snapshot();
    for (const from of ['running', 'running', 'hibernated']) {
      await machine.output('echo later > /dev/shm/note; rm /root/note; pkill perl; sync');
      if (from === 'hibernated') await machine.hibernate();
      const info = await machine.restore(snapshot);
      expect(info).toMatchObject({ id: machine.id, state: 'running', startedFrom: 'memory' });
      expect(await machine.output('cat /dev/shm/note /root/note')).toBe('then\nthen');
      expect(await machine.output('cat /etc/machine-id; hostname; echo $WHO')).toBe(identity);
      await goesOn(machine, told);
      expect(worker.processes().size).toBe(1);
      expect(worker.namespaces()).toHaveLength(1);
      const [run] = worker.entries('machines', machine.id).filter((entry) => entry.startsWith('run-'));
      expect(worker.entries('machines', machine.id)).toEqual(['machine.json', 'qemu.log', run]);
    }
    // A hibernated machine of later is not woken by accident.
    await machine.hibernate();
    await machine.wake();
    await goesOn(machine, told);
    await worker.deleteSnapshot(snapshot);
    await machine.restore(snapshot).then(
      () => expect.unreachable('there is nothing to restore'),
      (error: Error) => expect(error.message).toContain('checkpoint_not_found'),
    );
    await goesOn(machine, told);
    await machine.delete();
  });

  it('starts no command twice', async () => {
    const machine = await worker.create();
    const { id: snapshot } = await machine.snapshot();
    const line = 'echo run >> /var/lib/runs; sleep 60';
    const waited = machine.call('POST', '/exec', {
      json: { id: '00000001', argv: ['bash', '-c', line], user: 'root' },
    });
    await eventually('it runs', async () => (await machine.run('cat /var/lib/runs')).stdout === 'run\n');
    await machine.restore(snapshot);
    expect(await waited).toMatchObject({ status: 502, body: { code: 'guest_failed' } });
    expect(await machine.output('ls /var/lib')).not.toContain('runs');
    await machine.delete();
    await worker.deleteSnapshot(snapshot);
  });
});

/** A /proc in a namespace of a user, as bubblewrap and rootless podman mount it. */
const procOfOwn = 'unshare --user --map-root-user --pid --fork --mount-proc cat /proc/self/status | head -1';

describe('a restart', () => {
  let worker: TestWorker;
  let machine: TestMachine;
  /** That the machine has had so far. */
  const bootIds = new Set<string>();

  const bootId = (of: TestMachine): Promise<string> => of.output('cat /proc/sys/kernel/random/boot_id');

  beforeAll(async () => {
    worker = await TestWorker.start();
    machine = await worker.create({ env: { WHO: 'me' } });
    bootIds.add(await bootId(machine));
  });
  afterAll(() => worker.destroy());

  it.each([
    ['soft', false],
    ['hard', true],
  ])('that is %s keeps id, disk and environment, and makes operations wait', async (_name, hard) => {
    await machine.output('echo kept > /root/note; echo lost > /dev/shm/note; rm -f /var/lib/runs');
    const cutOff = machine.call('POST', '/exec', {
      json: { argv: ['bash', '-c', 'echo run >> /var/lib/runs; sync; sleep 600'], user: 'root' },
    });
    await eventually('it runs', async () => (await machine.run('cat /var/lib/runs')).stdout === 'run\n');
    await machine.output('sync');
    const rebooting = machine.reboot(hard);
    const states = new Set<string>();
    const watching = new AbortController();
    const watch = (async () => {
      while (!watching.signal.aborted) {
        states.add((await machine.info()).state);
        // Real time: the pace of who looks.
        await delay(50);
      }
    })();
    const meanwhile = machine.output('cat /root/note');
    const info = await rebooting;
    watching.abort();
    await watch;
    expect([...states]).toEqual(['running']);
    expect(await meanwhile).toBe('kept');
    expect(info).toMatchObject({ id: machine.id, state: 'running', startedFrom: 'disk' });
    expect(info.coldBootReason).toBeUndefined();
    expect(await machine.output('cat /root/note; test ! -e /dev/shm/note; hostname; echo $WHO')).toBe(
      `kept\n${machine.id}\nme`,
    );
    // The end of its system ends a command in good order, or takes the guest agent first.
    const answer = await cutOff;
    if (hard || answer.status !== 200)
      expect(answer).toMatchObject({ status: 502, body: { code: 'guest_failed' } });
    expect(await machine.output('cat /var/lib/runs')).toBe('run');
    const now = await bootId(machine);
    expect([...bootIds]).not.toContain(now);
    bootIds.add(now);
    expect(worker.processes().size).toBe(1);
  });

  it('gives a machine another boot id, and its forks others again', async () => {
    expect(await machine.output(procOfOwn, 'sandbox')).toContain('Name:');
    const now = await bootId(machine);
    const { id: snapshot } = await machine.snapshot();
    const fork = await worker.create({ snapshot });
    expect([...bootIds]).not.toContain(await bootId(fork));
    expect(await bootId(machine)).toBe(now);
    await fork.delete();
    await worker.deleteSnapshot(snapshot);
  });

  it(
    'from inside the guest, or after a crash of its kernel, happens once by itself',
    { timeout: 900_000 },
    async () => {
      const { startedAt } = await machine.info();
      await machine.begin('sudo reboot', 'sandbox');
      await eventually(
        'it has booted again',
        async () =>
          (await machine.info()).startedAt !== startedAt &&
          (await machine.output('cat /root/note')) === 'kept',
        { withinMs: bootMs },
      );
      expect(await machine.info()).toMatchObject({ state: 'running', startedFrom: 'disk' });
      // A kernel that crashes again at once is not started in a circle.
      await machine.begin('echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger');
      const { reason } = await eventually(
        'it is left alone',
        async () => {
          const info = await machine.info();
          return info.state === 'failed' ? info : undefined;
        },
        { withinMs: bootMs },
      );
      expect(reason).toBe('the guest restarted or its kernel crashed');
      expect(worker.processes().size).toBe(0);
      await eventually('nothing of it is left', () => worker.namespaces().length === 0);
      expect(await machine.call('POST', '/exec', { json: { argv: ['true'] } })).toMatchObject({
        body: { code: 'sandbox_stopped' },
      });
      expect(await machine.wake()).toMatchObject({
        state: 'running',
        startedFrom: 'disk',
        coldBootReason: reason,
      });
      expect(await machine.output('cat /root/note')).toBe('kept');
    },
  );
});
