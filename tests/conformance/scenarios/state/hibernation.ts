import { expect } from 'vitest';
import { failure, getSandbox } from '../../raw-api.ts';
import { goesOn, startCounter } from './counter.ts';
import { onItsOwn } from './own.ts';
import type { Scenario } from '../scenario.ts';

export const hibernationScenarios: Scenario[] = [
  {
    name: 'hibernate and wake keep processes, memory and disk',
    run: onItsOwn(async ({ client, sandbox }) => {
      const { sandboxId } = sandbox;
      await sandbox.files.write('/dev/shm/note', 'in memory');
      await sandbox.files.write('note', 'on the disk');
      const before = await startCounter(sandbox);
      await sandbox.hibernate();
      expect(sandbox.status).toBe('hibernated');
      expect((await getSandbox(sandboxId)).status).toBe('hibernated');
      expect(await sandbox.isRunning()).toBe(false);
      expect((await client.connect(sandboxId)).status).toBe('hibernated');
      await sandbox.hibernate();
      await sandbox.wake({ timeout: 600 });
      expect(sandbox).toMatchObject({ sandboxId, status: 'running' });
      expect(await getSandbox(sandboxId)).toMatchObject({ status: 'running', timeout: 600 });
      await goesOn(sandbox, before);
      expect(await sandbox.files.read('/dev/shm/note')).toBe('in memory');
      expect(await sandbox.files.read('note')).toBe('on the disk');
      await sandbox.wake({ timeout: 600 });
      expect(sandbox.status).toBe('running');
      await goesOn(sandbox, before);
    }),
  },
  {
    name: 'commands and files wake a hibernated sandbox, and many at once share one wake',
    run: onItsOwn(async ({ sandbox }) => {
      const before = await startCounter(sandbox);
      await sandbox.hibernate();
      const [run, again] = await Promise.all([
        sandbox.exec.run('echo $FROM_SANDBOX'),
        sandbox.exec.run('hostname'),
        sandbox.files.write('woken', 'by a file'),
      ]);
      expect(run).toMatchObject({ exitCode: 0, stdout: 'sandbox\n' });
      expect(again.stdout).toBe(`${sandbox.sandboxId}\n`);
      expect(await sandbox.isRunning()).toBe(true);
      expect(await sandbox.files.read('woken')).toBe('by a file');
      await goesOn(sandbox, before);
    }),
  },
  {
    name: 'a hibernated sandbox can be killed, and nothing wakes it then',
    run: onItsOwn(async ({ sandbox }) => {
      await sandbox.hibernate();
      await sandbox.kill();
      expect((await getSandbox(sandbox.sandboxId)).status).toBe('stopped');
      await failure(sandbox.wake(), 410);
      await failure(sandbox.hibernate(), 410);
      await failure(sandbox.exec.run('true'), 410);
    }),
  },
  {
    name: 'reboot and powerCycle keep id, disk and environment, and end all processes',
    expensive: true,
    cannot: { 'published-python': 'it gives up after 30 s; an emulated machine may boot for longer' },
    run: onItsOwn(async ({ sandbox }) => {
      const { sandboxId } = sandbox;
      const look = 'hostname; echo $FROM_SANDBOX; cat note; test ! -e /dev/shm/count && echo restarted';
      const boots = new Set([(await sandbox.exec.run('cat /proc/sys/kernel/random/boot_id')).stdout]);
      for (const restart of ['reboot', 'powerCycle'] as const) {
        await startCounter(sandbox);
        await sandbox.exec.run(`echo before ${restart} > note; sync`);
        await sandbox[restart]();
        expect((await sandbox.exec.run(look, { timeout: 60 })).stdout).toBe(
          `${sandboxId}\nsandbox\nbefore ${restart}\nrestarted\n`,
        );
        expect(await sandbox.isRunning()).toBe(true);
        boots.add((await sandbox.exec.run('cat /proc/sys/kernel/random/boot_id')).stdout);
      }
      expect(boots.size).toBe(3);
    }),
  },
  {
    name: 'every change is an event with its time, actor and reason',
    cannot: { published: 'it has no events()' },
    run: onItsOwn(async ({ sandbox }) => {
      await sandbox.hibernate();
      await sandbox.exec.run('true');
      await sandbox.createCheckpoint('noted');
      await sandbox.kill();
      const events = [];
      for await (const event of sandbox.events?.() ?? []) events.push(event);
      const told = events.map(({ kind, actor }) => `${actor} ${kind}`);
      const expected = [
        'client created',
        'client hibernate',
        'system wake',
        'client checkpoint',
        'client stop',
      ];
      expect(told.filter((line) => expected.includes(line))).toEqual(expected);
      expect(events.find(({ kind }) => kind === 'wake')?.reason).toMatch(/operation/);
      const times = events.map(({ time }) => time.getTime());
      expect(times).toEqual(times.toSorted((a, b) => a - b));
    }),
  },
];
