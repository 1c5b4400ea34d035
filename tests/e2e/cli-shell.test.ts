import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Oc, outcomeOf } from '../support/oc.ts';
import { cuttableProxy } from '../support/cuttable-proxy.ts';
import { fileSandbox } from '../support/shared.ts';
import type { Outcome } from '../support/oc.ts';

const driver = join(import.meta.dirname, '../support/drive-terminal.py');
const seconds = 60;
const sandbox = fileSandbox();
let oc: Oc;
beforeAll(async () => {
  oc = await Oc.make();
});
afterAll(async () => oc.remove());

type Step =
  | ['expect', string, number]
  | ['send', string]
  | ['resize', number, number]
  | ['raw', boolean]
  | (() => void);

/** Plays steps in a terminal in which `oc` runs. */
async function play(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  steps: readonly Step[],
): Promise<Outcome> {
  const child = spawn('python3', [driver, join(oc.home, 'oc'), ...args], { env });
  const ended = outcomeOf(child);
  for (const step of steps)
    if (typeof step === 'function') step();
    else child.stdin.write(`${JSON.stringify(step)}\n`);
  child.stdin.end();
  return ended;
}

function see(pattern: string): Step {
  return ['expect', pattern, seconds];
}

test('is a terminal: keys, Ctrl-C, size and exit code', async () => {
  const { exitCode, stdout, stderr } = await play(['shell', sandbox().id], oc.env, [
    see('\\$ $'),
    ['raw', true],
    ['send', 'stty size; echo $((6*7))\n'],
    see('24 80\\r\\n42'),
    // A Ctrl-C that comes while bash starts a command may pass that command by.
    ['send', "sh -c 'echo begun; exec sleep 1000'\n"],
    see('begun\\r\\n'),
    ['send', '\u0003'],
    see('\\$ $'),
    ['send', 'trap "echo size; stty size" WINCH\n'],
    see('\\$ $'),
    ['resize', 101, 33],
    see('33 101'),
    ['send', 'exit 9\n'],
  ]);
  expect([exitCode, stderr], stdout.toString()).toEqual([9, '']);
});

test('needs a terminal, and says so', async () => {
  const { exitCode, stderr } = await oc.run('shell', sandbox().id);
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining('oc exec')]);
});

test('goes on after the connection was cut', async () => {
  await using proxy = await cuttableProxy(oc.env['OPENCOMPUTER_API_URL'] ?? '');
  const env = { ...oc.env, OPENCOMPUTER_API_URL: proxy.url };
  const child = spawn('python3', [driver, join(oc.home, 'oc'), 'shell', sandbox().id], { env });
  const ended = outcomeOf(child);
  const tell = (step: Step): void => void child.stdin.write(`${JSON.stringify(step)}\n`);
  tell(see('\\$ $'));
  tell(['send', 'for n in 1 2 3 4 5 6 7 8; do echo tick$n; sleep 0.5; done; echo "done" $n\n']);
  await proxy.cutOn('tick2');
  tell(see('tick1\\r\\ntick2\\r\\ntick3\\r\\n.*tick8\\r\\ndone 8'));
  tell(['send', 'exit 4\n']);
  child.stdin.end();
  const { exitCode, stdout, stderr } = await ended;
  expect([exitCode, stderr], stdout.toString()).toEqual([4, '']);
  expect(proxy.cuts).toBe(1);
});
