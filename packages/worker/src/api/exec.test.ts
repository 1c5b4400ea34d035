import { type GuestExecRequest, type MachineInfo } from '@opencomputer/protocol';
import { expect, test } from 'vitest';
import {
  answerJson,
  type GuestHandler,
  guestSocket,
  honestHandshake,
  openChannel,
  startGuest,
} from '../guest/testing/guest-agent.ts';
import { failureOf } from '../testing/scratch.ts';
import { startAgain } from './exec.ts';

const command: GuestExecRequest = { id: '0123abcd', argv: ['true'], waitMs: 0 };
const result = {
  id: command.id,
  running: false,
  exitCode: 0,
  signal: null,
  timedOut: false,
  truncated: false,
  stdout: '',
  stderr: '',
  startedAt: new Date(0).toISOString(),
  durationMs: 1,
};

/** A machine whose guest agent knows the command or does not, and counts what it starts. */
async function machineWith(options: { knows: boolean; ranForMs: number; agentUptimeMs?: number }) {
  const path = await guestSocket();
  const calls: string[] = [];
  const handler: GuestHandler = ({ stream, method, path: target }) => {
    calls.push(method);
    if (method === 'POST' || options.knows) return answerJson(stream, result);
    answerJson(stream, { error: { code: 'not_found', message: `no ${target}` } }, 404);
  };
  await startGuest(path, handler, async ({ stream, body }) => {
    const { epoch } = JSON.parse(await body()) as { epoch: string };
    const { agentUptimeMs: _, ...answer } = honestHandshake(epoch);
    const { agentUptimeMs } = options;
    answerJson(stream, { ...answer, ...(agentUptimeMs === undefined ? {} : { agentUptimeMs }) });
  });
  const startedAt = new Date(Date.now() - options.ranForMs).toISOString();
  const machine = { channel: openChannel(path), info: () => ({ startedAt }) as MachineInfo };
  return { machine, calls };
}

const long = 3_600_000;

test('a command that the agent knows is not started again', async () => {
  const { machine, calls } = await machineWith({ knows: true, ranForMs: long, agentUptimeMs: long });
  expect(await startAgain(machine, command, Date.now() - 1000)).toMatchObject({ exitCode: 0 });
  expect(calls).toEqual(['GET']);
});

test('one that it would know is started', async () => {
  const { machine, calls } = await machineWith({ knows: false, ranForMs: long, agentUptimeMs: long });
  expect(await startAgain(machine, command, Date.now() - 1000)).toMatchObject({ exitCode: 0 });
  expect(calls).toEqual(['GET', 'POST']);
});

test.each([
  ['the machine was started anew', { ranForMs: 0, agentUptimeMs: long }],
  ['the agent was started anew', { ranForMs: long, agentUptimeMs: 0 }],
  ['the agent does not say how long it has run', { ranForMs: long }],
])('one that may have run is not: %s', async (_why, times) => {
  const { machine, calls } = await machineWith({ knows: false, ...times });
  expect(await failureOf(startAgain(machine, command, Date.now() - 600_000))).toMatchObject({
    code: 'exec_not_found',
  });
  expect(calls).toEqual(['GET']);
});
