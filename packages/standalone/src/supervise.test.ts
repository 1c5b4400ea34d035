import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kill as killProcess } from 'node:process';
import { expect, onTestFinished, test, vi } from 'vitest';
import { Supervisor } from './supervise.ts';
import { Watchdog } from './watchdog.ts';

const module = new URL('testing/part.ts', import.meta.url).pathname;
const intervalMs = 500;
const silences = 3;

/** Supervises a part for tests. @returns what was printed, and the processes that were started */
function supervise({ probeMs = 60_000, ending }: { probeMs?: number; ending?: string } = {}) {
  const said: string[] = [];
  const pids: number[] = [];
  const supervisor = new Supervisor(
    { name: 'part', module, env: { PATH: process.env['PATH'], ENDING: ending } },
    (text) => void said.push(text),
    { intervalMs, silences, startingSilences: 1000, probeMs },
    (pid) => void pids.push(pid),
  );
  const run = supervisor.run();
  onTestFinished(async () => {
    await supervisor.stop(5000);
    await run;
  });
  const ready = (count: number) => expect.poll(() => pids.length, { timeout: 30_000 }).toBe(count);
  const last = (): number => pids.at(-1) ?? Number.NaN;
  return { supervisor, run, said, pids, ready, last };
}

test('a part that is stopped is killed and started again', async () => {
  const { said, ready, last } = supervise();
  await ready(1);
  const first = last();
  killProcess(first, 'SIGSTOP');
  await ready(2);
  expect(last()).not.toBe(first);
  expect(said).toEqual([
    'the part does not work any more: its event loop has not answered for 1.5 s; killing it',
    'the part ended (SIGKILL); starting it again',
  ]);
});

test('a part whose threads are all blocked is killed and started again, though its loop goes on', async () => {
  const { said, ready, last } = supervise({ probeMs: 2000 });
  await ready(1);
  killProcess(last(), 'SIGUSR2');
  await ready(2);
  expect(said[0]).toMatch(/^the part does not work any more: it has had no free thread for files for /);
});

test('a part that works is left alone', async () => {
  const asked = vi.spyOn(Watchdog.prototype, 'tick');
  onTestFinished(() => asked.mockRestore());
  const { said, pids, ready } = supervise();
  await ready(1);
  // More than it may leave unanswered.
  await expect.poll(() => asked.mock.calls.length).toBeGreaterThan(2 * silences);
  expect([said, pids.length]).toEqual([[], 1]);
});

test('a part is asked to end once only, however often it is to be stopped, and ends in good order', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'oc-supervise-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const ending = join(directory, 'ending');
  const { supervisor, run, said, ready } = supervise({ ending });
  await ready(1);
  const stopping = supervisor.stop(60_000);
  await expect.poll(() => existsSync(ending)).toBe(true);
  await supervisor.stop(60_000);
  await stopping;
  expect(await run).toBe('code 0');
  expect(said).toEqual([]);
});

test('a part that does not end is killed, which is said', async () => {
  const { supervisor, run, said, ready, last } = supervise();
  await ready(1);
  killProcess(last(), 'SIGSTOP');
  await supervisor.stop(200);
  expect(await run).toBe('SIGKILL');
  expect(said).toEqual(['the part did not end within 0.2 s; killing it']);
});
