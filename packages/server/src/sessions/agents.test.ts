import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, TestServer } from '../testing/harness.ts';

let server: TestServer;
let id: string;
beforeAll(async () => {
  server = await TestServer.start({ OPENCOMPUTER_AGENT_COMMAND: '/opt/my-agent' });
  id = await server.create();
});
afterAll(() => server[Symbol.asyncDispose]());

const call = (method: string, path: string, body?: object) =>
  server.call(method, `/api/sandboxes/${id}/agent${path}`, body);
const session = (sid: string) => server.worker.machine(id).sessions.get(sid);
const lines = (sid: string): unknown[] =>
  session(sid)
    .text.trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);

test('an agent session is told how to work, then what to do', async () => {
  const { status, json } = await call('POST', '', {
    prompt: 'go',
    model: 'm',
    allowedTools: ['Bash'],
    maxTurns: 3,
    mcpServers: { files: { command: 'x', args: ['y'], env: { A: '1' } } },
    resume: 'r',
  });
  expect(status).toBe(201);
  expect(json).toEqual({
    sessionID: expect.any(String),
    sandboxID: id,
    running: true,
    startedAt: expect.any(String),
    attachedClients: 0,
  });
  expect(session(json.sessionID).request).toMatchObject({
    kind: 'agent',
    argv: ['/opt/my-agent'],
    stdin: true,
  });
  expect(lines(json.sessionID)).toEqual([
    {
      type: 'configure',
      model: 'm',
      allowedTools: ['Bash'],
      maxTurns: 3,
      mcpServers: { files: { command: 'x', args: ['y'], env: { A: '1' } } },
      resume: 'r',
    },
    { type: 'prompt', text: 'go', resume: 'r' },
  ]);
  await eventually('nobody attached', () => session(json.sessionID).attached === 0);
});

test('prompts and interrupts follow; lines do not run into each other', async () => {
  const { json } = await call('POST', '', {});
  const sid: string = json.sessionID;
  expect(lines(sid)).toEqual([]);
  const texts = Array.from({ length: 8 }, (_value, index) => String(index).repeat(60_000));
  const answers = await Promise.all(texts.map((text) => call('POST', `/${sid}/prompt`, { text })));
  expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(204));
  const told = (lines(sid) as { type: string; text: string }[]).map(({ text }) => text);
  expect(told.toSorted()).toEqual(texts);
  expect((await call('POST', `/${sid}/interrupt`)).status).toBe(204);
  expect(lines(sid).at(-1)).toEqual({ type: 'interrupt' });
  expect((await call('POST', `/${sid}/prompt`, {})).json.error).toContain('text is required');
  expect((await call('GET', '')).json.map((one: { sessionID: string }) => one.sessionID)).toContain(sid);
  expect((await call('POST', `/${sid}/kill`, {})).status).toBe(204);
  const late = await call('POST', `/${sid}/prompt`, { text: 'x' });
  expect([late.status, late.json.code]).toEqual([409, 'session_ended']);
});

test('other sessions are no agents', async () => {
  const { json } = await server.call('POST', `/api/sandboxes/${id}/exec`, { cmd: 'x' });
  for (const part of ['prompt', 'interrupt', 'kill']) {
    const body = part === 'prompt' ? { text: 'x' } : {};
    expect((await call('POST', `/${json.sessionID}/${part}`, body)).status).toBe(404);
  }
  expect((await call('POST', '/ffffffff/interrupt')).json.code).toBe('exec_not_found');
});

test('a program that is not there is a clear error', async () => {
  server.worker.machine(id).sessions.missing.add('/opt/my-agent');
  const { status, json } = await call('POST', '', { prompt: 'x' });
  expect([status, json.code]).toEqual([422, 'command_not_started']);
});
