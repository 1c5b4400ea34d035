import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiError } from '@opencomputer/protocol';
import { eventually, TestServer } from '../testing/harness.ts';

let server: TestServer;
let id: string;
/** What waits for the clock of the padding, which stands still unless a test says otherwise. */
const ticks = new Set<() => void>();
/** Lets the time pass after which the header goes out; later times, a space. */
const pad = (): void => {
  for (const tick of [...ticks]) tick();
};
beforeAll(async () => {
  const every = (_ms: number, tick: () => void) => {
    ticks.add(tick);
    return () => ticks.delete(tick);
  };
  server = await TestServer.start({}, { padMs: 10_000, every, asyncMs: 100, pollMs: 50 });
  id = await server.create({ envs: { A: '1', B: '1' } });
});
afterAll(() => server[Symbol.asyncDispose]());

const run = (cmd: string, args: string[] = [], more: object = {}) =>
  server.call('POST', `/api/sandboxes/${id}/exec/run`, { cmd, args, ...more });
const runAsync = (cmd: string, args: string[] = []) =>
  server.call('POST', `/api/sandboxes/${id}/exec/run-async`, { cmd, args });
const result = (execId: string) => server.call('GET', `/api/sandboxes/${id}/exec/${execId}/result`);

describe('run', () => {
  test('answers the result with its proper status', async () => {
    const { status, json } = await run('echo', ['hi', '$A']);
    expect([status, json]).toEqual([200, { exitCode: 0, stdout: 'hi $A\n', stderr: '' }]);
    expect((await run('exit', ['3'])).json).toEqual({ exitCode: 3, stdout: '', stderr: 'failed\n' });
  });

  test('passes directory and environment on', async () => {
    expect((await run('env', ['B'], { envs: { B: '2' } })).json.stdout).toBe('2');
    expect((await run('pwd', [], { cwd: '/tmp' })).json.stdout).toBe('/tmp');
    expect((await run('pwd', [], { cwd: null, envs: null, args: null, timeout: null })).status).toBe(200);
  });

  test('replaces what is not UTF-8 and marks what was dropped', async () => {
    expect((await run('bytes', ['61ff62'])).json.stdout).toBe('a\ufffdb');
    expect((await run('flood')).json).toMatchObject({ truncated: true, stdout: 'tail' });
  });

  test('tells a timeout', async () => {
    const { json } = await run('overrun', [], { timeout: 1 });
    expect(json).toEqual({ exitCode: -1, stdout: 'begun\n', stderr: '\nProcess timed out' });
  });

  /** A command that runs when this resolves, and has been padded `times`. */
  async function startPadded(times: number): Promise<{ answer: ReturnType<typeof run> }> {
    const { commands } = server.worker.machine(id);
    const { started } = commands;
    const answer = run('wait');
    await eventually('started', () => commands.started > started);
    for (let time = 0; time < times; time += 1) {
      await eventually('the clock runs', () => ticks.size > 0);
      const [tick] = ticks;
      pad();
      // The clock of the header stops, and that of the spaces begins.
      if (time === 0) await eventually('the header is out', () => ticks.size > 0 && !ticks.has(tick!));
    }
    return { answer };
  }

  test('pads while it takes long, and the JSON follows', async () => {
    const { answer } = await startPadded(3);
    server.worker.machine(id).commands.endWaits();
    const { text, status } = await answer;
    expect(status).toBe(200);
    expect(text).toMatch(/^ {3}\{/);
    expect(JSON.parse(text)).toMatchObject({ exitCode: 0, stdout: 'waited\n' });
    expect(ticks.size).toBe(0);
  });

  test('a late failure is an error in a 200', async () => {
    const { answer } = await startPadded(1);
    const { commands } = server.worker.machine(id);
    server.worker.failMachine(id, 'its process was killed');
    await eventually(
      'in error',
      async () => (await server.call('GET', `/api/sandboxes/${id}`)).json.status === 'error',
    );
    commands.endWaits();
    expect((await answer).status).toBe(200);
    const { status, json } = await run('echo');
    expect([status, json.code]).toEqual([410, 'sandbox_stopped']);
    expect(json.error).toContain('its process was killed');
    id = await server.create({ envs: { A: '1', B: '1' } });
  });

  test('a failure after the header is the body', async () => {
    server.worker.fail('POST exec', 'dieAfter');
    const { answer } = await startPadded(1);
    const { commands } = server.worker.machine(id);
    // The result is lost with the answer, and nobody can tell whether it ran.
    commands.endWaits();
    commands.forgetAll();
    const { status, text } = await answer;
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject({ code: 'worker_unavailable', error: expect.any(String) });
  });
});

describe('a worker that fails', () => {
  test.each(['dieAfter', 'dieMidAnswer'] as const)(
    '%s: the command ran once and its result is told',
    async (fault) => {
      const { commands } = server.worker.machine(id);
      const before = commands.started;
      server.worker.fail('POST exec', fault);
      const { status, json } = await run('echo', ['once']);
      expect([status, json.stdout]).toEqual([200, 'once\n']);
      expect(commands.started).toBe(before + 1);
    },
  );

  test('that breaks before the start: the command is sent again, and runs once', async () => {
    const { commands } = server.worker.machine(id);
    const before = commands.started;
    server.worker.fail('POST exec', 'refuse', 3);
    const { status, json } = await run('echo', ['again']);
    expect([status, json]).toEqual([200, { exitCode: 0, stdout: 'again\n', stderr: '' }]);
    expect(commands.started).toBe(before + 1);
  });

  test.each(['memory', 'agent'])('that breaks while the %s is lost: it is not sent again', async (what) => {
    const machine = server.worker.machine(id);
    const { started } = machine.commands;
    server.worker.fail('POST exec', 'dieAfter');
    let sent = 0;
    server.worker.turn = async (call) => {
      if (call !== 'POST exec') return;
      sent += 1;
      if (sent !== 2) return;
      machine.commands.forgetAll();
      if (what === 'agent') return;
      machine.commands.agentStartedAt = 0;
      machine.info = { ...machine.info, startedAt: new Date().toISOString() };
    };
    const { json } = await run('echo');
    server.worker.turn = async () => undefined;
    expect(json).toMatchObject({
      code: 'worker_unavailable',
      error: 'the worker went away; the command may have run or not',
    });
    expect(machine.commands.started).toBe(started + 1);
  });

  test('that restarts in the middle of a command does not end it', async () => {
    const { commands } = server.worker.machine(id);
    const { started } = commands;
    const running = run('wait');
    await eventually('started', () => commands.started > started);
    await server.worker.kill();
    await server.worker.listen();
    commands.endWaits();
    const { status, json } = await running;
    expect([status, json]).toEqual([200, { exitCode: 0, stdout: 'waited\n', stderr: '' }]);
    expect(commands.started).toBe(started + 1);
  });

  test('that is away for a moment before the start is waited for', async () => {
    await server.worker.kill();
    const running = run('echo', ['late']);
    await eventually('waits for the worker', () => ticks.size > 0);
    await server.worker.listen();
    expect((await running).json).toMatchObject({ stdout: 'late\n' });
  });

  test.each([
    ['too_many_commands', 429],
    ['command_not_started', 422],
  ] as const)('that answers %s is quoted', async (code, status) => {
    server.worker.fail('POST exec', new ApiError(code, 'as it is'));
    const answer = await run('echo');
    expect([answer.status, answer.json.code, answer.json.error]).toEqual([status, code, 'as it is']);
  });
});

describe('run-async', () => {
  test('answers the result when it is quick', async () => {
    const { status, json } = await runAsync('echo', ['hi']);
    expect([status, json]).toEqual([200, { exitCode: 0, stdout: 'hi\n', stderr: '' }]);
  });

  test('answers an id otherwise, which tells the result', async () => {
    const { status, json } = await runAsync('wait');
    expect(status).toBe(202);
    expect(json).toEqual({
      execId: expect.stringMatching(/^[0-9a-f]{8}$/),
      running: true,
      startedAt: expect.any(String),
    });
    expect((await result(json.execId)).json).toEqual({ running: true, stdout: '', stderr: '' });
    server.worker.machine(id).commands.endWaits();
    await eventually('ended', async () => (await result(json.execId)).json.running === false);
    expect((await result(json.execId)).json).toMatchObject({
      running: false,
      exitCode: 0,
      stdout: 'waited\n',
    });
  });

  test('an unknown id is a 404', async () => {
    const { status, json } = await result('ffffffff');
    expect([status, json.code]).toEqual([404, 'exec_not_found']);
  });
});

test('a client that goes away ends the waiting, not the command', async () => {
  const client = new AbortController();
  const { commands } = server.worker.machine(id);
  const before = commands.started;
  const running = fetch(`${server.url}/api/sandboxes/${id}/exec/run`, {
    method: 'POST',
    headers: { 'x-api-key': server.key },
    body: JSON.stringify({ cmd: 'wait' }),
    signal: client.signal,
  });
  await eventually('started', () => commands.started > before);
  client.abort();
  await expect(running).rejects.toThrow();
  expect(commands.running).toBe(1);
  commands.endWaits();
  await eventually('ended', () => commands.running === 0);
});

test('a machine that the worker does not know puts the sandbox in error', async () => {
  const lost = await server.create();
  server.worker.machines.delete(lost);
  const answer = await server.call('POST', `/api/sandboxes/${lost}/exec/run`, { cmd: 'echo' });
  expect([answer.status, answer.json.code]).toEqual([410, 'sandbox_stopped']);
  expect((await server.call('GET', `/api/sandboxes/${lost}`)).json.status).toBe('error');
});

test('a machine that has died unheard puts the sandbox in error', async () => {
  const lost = await server.create();
  server.worker.failMachine(lost, 'QEMU ended', false);
  server.worker.fail('POST exec', new ApiError('sandbox_stopped', 'QEMU ended'));
  const answer = await server.call('POST', `/api/sandboxes/${lost}/exec/run`, { cmd: 'echo' });
  expect([answer.status, answer.json.code]).toEqual([410, 'sandbox_stopped']);
  const { json } = await server.call('GET', `/api/sandboxes/${lost}`);
  expect(json).toMatchObject({ status: 'error', statusReason: 'QEMU ended' });
});
