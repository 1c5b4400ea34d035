import { describe, expect, test } from 'vitest';
import { expectError } from '../support/api.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { fileSandbox } from '../support/shared.ts';

describe('commands', () => {
  const sandbox = fileSandbox({ envs: { A: 'sandbox', B: 'sandbox' } });

  test('get their arguments as they are, without a shell', async () => {
    const odd = ['$HOME', 'a b', '', '*', '"quoted"', "it's", 'line\nbreak', '\u00fc\u{1f600}'];
    const answer = await sandbox().exec('python3', [
      '-c',
      'import sys, json; print(json.dumps(sys.argv[1:]))',
      ...odd,
    ]);
    expect(JSON.parse(answer.body['stdout'] as string)).toEqual(odd);
  });

  test('see the environment of the sandbox, overridden by their own', async () => {
    const result = await sandbox().output('echo $A $B $C', { envs: { B: 'command', C: 'new' } });
    expect(result).toBe('sandbox command new');
  });

  test('start in the working directory they ask for', async () => {
    expect(await sandbox().output('pwd', { cwd: '/usr/share' })).toBe('/usr/share');
    expectError(await sandbox().exec('true', [], { cwd: '/no/such/place' }), 422, 'command_not_started');
  });

  test('that do not exist, or may not run, say so', async () => {
    expectError(await sandbox().exec('no-such-command'), 422, 'command_not_started', /no-such-command/);
    expectError(await sandbox().exec('/etc/passwd'), 422, 'command_not_started');
    expectError(await sandbox().exec('/home'), 422, 'command_not_started');
    expect(await sandbox().output('echo next')).toBe('next');
  });

  test('keep stdout and stderr apart, and report how they ended', async () => {
    const result = await sandbox().run('echo out; echo err >&2; exit 3');
    expect(result).toMatchObject({ exitCode: 3, stdout: 'out\n', stderr: 'err\n' });
    expect((await sandbox().run('kill -TERM $$')).exitCode).toBe(128 + 15);
    expect((await sandbox().run('kill -KILL $$')).exitCode).toBe(128 + 9);
    const trapped = 'trap "echo caught; exit 9" USR1; kill -USR1 $$; wait';
    expect(await sandbox().run(trapped)).toMatchObject({ exitCode: 9, stdout: 'caught\n' });
  });

  test('have no standard input to wait for', async () => {
    expect(await sandbox().run('cat; echo done', { timeout: 60 })).toMatchObject({ stdout: 'done\n' });
  });

  test('that print no UTF-8 get replacement characters, and the bytes are whole in a file', async () => {
    const result = await sandbox().run(String.raw`printf '\xff\xfe ok' | tee /tmp/bytes`);
    expect(result.stdout).toBe('\ufffd\ufffd ok');
    expect([...(await sandbox().read('/tmp/bytes'))]).toEqual([0xff, 0xfe, 0x20, 0x6f, 0x6b]);
  });

  test('a timeout kills the command with all its children, and nothing else', async () => {
    await sandbox().output('nohup sleep 3001 >/dev/null 2>&1 & echo $!');
    const started = Date.now();
    const timedOut = await sandbox().run('sleep 3002 & (setsid sleep 3003 &) ; sleep 3004', { timeout: 2 });
    expect(Date.now() - started).toBeGreaterThanOrEqual(2000);
    expect(timedOut.exitCode).toBe(-1);
    expect(timedOut.stderr).toMatch(/Process timed out$/);
    const left = await eventually('only the other command is left', async () => {
      const sleeps = await sandbox().output("pgrep -af '^sleep 300' || true");
      return sleeps.includes('3002') || sleeps.includes('3003') || sleeps.includes('3004')
        ? undefined
        : sleeps;
    });
    expect(left).toContain('sleep 3001');
    await sandbox().output('pkill -f "^sleep 3001"');
  });

  test('a process in the background survives its command, also with the pipes in its hands', async () => {
    const quiet = await sandbox().output(
      'nohup sh -c "sleep 2; echo late > /tmp/late; sleep 3005" >/dev/null 2>&1 & echo started',
    );
    expect(quiet).toBe('started');
    // This one keeps stdout open: the result must not wait for ever for the end of the stream.
    const answer = await sandbox().run('(sleep 3006) & echo holding', { timeout: 30 });
    expect(answer).toMatchObject({ exitCode: 0, stdout: 'holding\n' });
    await eventually(
      'the first process goes on',
      async () => (await sandbox().read('/tmp/late')).toString() === 'late\n',
    );
    expect(await sandbox().output("pgrep -fc '^sleep 300[56]'")).toBe('2');
    await sandbox().output("pkill -f '^sleep 300[56]'");
  });

  test('a process whose parent died is nobody\u2019s zombie', async () => {
    await sandbox().output('for i in $(seq 50); do (true &) ; done');
    await eventually('no zombies', async () =>
      (await sandbox().output("ps -eo stat= | grep -c '^Z' || true")) === '0' ? true : undefined,
    );
  });

  test('a hundred at once all end with their own output', async () => {
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        sandbox().run(`echo ${index}; exit ${index}`, { timeout: 120 }),
      ),
    );
    for (const [index, result] of results.entries())
      expect(result).toMatchObject({ exitCode: index, stdout: `${index}\n` });
  });

  test('started without waiting can be asked after, and their result is kept', async () => {
    const started = await sandbox().call('POST', '/exec/run-async', {
      json: { cmd: 'sh', args: ['-c', 'echo one; sleep 3; echo two; exit 5'] },
    });
    expect(started.status).toBe(202);
    expect(started.body).toMatchObject({ running: true, execId: expect.stringMatching(/^[0-9a-f]{8}$/) });
    const path = `/exec/${started.body['execId'] as string}/result`;
    expect((await sandbox().call('GET', path)).body).toMatchObject({ running: true, stdout: 'one\n' });
    const ended = await eventually('its end', async () => {
      const poll = await sandbox().call('GET', path);
      return poll.body['running'] === false ? poll : undefined;
    });
    expect(ended.body).toMatchObject({ running: false, exitCode: 5, stdout: 'one\ntwo\n' });
    expect((await sandbox().call('GET', path)).body).toEqual(ended.body);
    expectError(await sandbox().call('GET', '/exec/00000000/result'), 404, 'exec_not_found');
    expectError(await sandbox().call('GET', '/exec/..%2f..%2fx/result'), 404, 'exec_not_found');
  });
});
