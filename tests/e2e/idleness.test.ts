import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestSandbox } from '../support/api.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { LiveClient, startSession } from '../support/live-client.ts';
import { TestPlatform } from '../support/platform.ts';

/** Seconds. A command takes several timeouts. */
const timeout = 6;
const commandSeconds = 20;
const longMs = 240_000;

describe('what keeps a machine awake', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await TestPlatform.start();
    // Builds the template, so that the tests begin at once.
    const first = await platform.api.create();
    await first.call('DELETE', '');
  });
  afterAll(() => platform.destroy());

  const status = async (sandbox: TestSandbox) =>
    (await platform.api.call('GET', sandbox.path)).body as { status: string; keptAwakeBy?: unknown };
  const hibernated = (sandbox: TestSandbox) =>
    eventually('hibernated', async () => (await status(sandbox)).status === 'hibernated', {
      withinMs: longMs,
    });
  /** Milliseconds from the start of a sandbox's only session to its first hibernation. */
  async function awakeFor(sandbox: TestSandbox, from: number): Promise<number> {
    await hibernated(sandbox);
    const answer = await platform.api.call('GET', `${sandbox.path}/events`);
    const events = JSON.parse(answer.text) as { kind: string; time: string }[];
    return Date.parse(events.find(({ kind }) => kind === 'hibernate')?.time ?? '') - from;
  }

  const silent = ['-c', `sleep ${commandSeconds}; echo done; exit 3`];

  test('a command that prints nothing runs to its end, also when the server is killed in the middle', async () => {
    const sandbox = await platform.api.create({ timeout });
    const from = Date.now();
    const id = await startSession(sandbox, 'sh', silent);
    await eventually('seen in use', async () => (await status(sandbox)).keptAwakeBy !== undefined, {
      withinMs: longMs,
    });
    expect((await status(sandbox)).keptAwakeBy).toMatchObject({ sessionID: id, sessions: 1 });
    await platform.crash('server');
    await platform.ready();
    expect(await awakeFor(sandbox, from)).toBeGreaterThan((commandSeconds + timeout - 1) * 1000);
    // Its output and its end were kept over the hibernation.
    const late = await LiveClient.attach(sandbox, `exec/${id}`);
    expect((await late.end()).code).toBe(1000);
    expect([late.output().toString(), late.exitCode]).toEqual(['done\n', 3]);
    await sandbox.call('DELETE', '');
  });

  test.concurrent('a shell and a terminal at their prompts do not; a command in them does', async () => {
    const [waiting, working] = [
      await platform.api.create({ timeout }),
      await platform.api.create({ timeout }),
    ];
    const { client: idleShell } = await LiveClient.start(waiting, 'bash', ['--norc', '--noprofile']);
    expect((await waiting.call('POST', '/pty', { json: {} })).status).toBe(201);
    const pty = await working.call('POST', '/pty', { json: {} });
    const terminal = await LiveClient.attach(working, `pty/${String(pty.body['sessionID'])}`);
    const from = Date.now();
    terminal.sendRaw(`sleep ${commandSeconds}\n`);
    await hibernated(waiting);
    expect(await awakeFor(working, from)).toBeGreaterThan(commandSeconds * 1000);
    expect([idleShell.closed, terminal.closed]).toEqual([undefined, undefined]);
    for (const sandbox of [waiting, working]) await sandbox.call('DELETE', '');
  });

  test.concurrent('what a command left behind does not, nor does a service in the background', async () => {
    const sandbox = await platform.api.create({ timeout });
    await sandbox.call('POST', '/exec', { json: { cmd: 'sleep', args: ['100000'], keepAwake: false } });
    await startSession(sandbox, 'sh', ['-c', 'sleep 100000 & setsid sleep 100000 &']);
    await hibernated(sandbox);
    await sandbox.call('DELETE', '');
  });
});
