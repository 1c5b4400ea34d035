import { beforeAll, describe, expect, test } from 'vitest';
import { type AgentEvent, AgentProgram, ModelEndpoint, turnMs } from '../support/agent-program.ts';
import { eventually } from '../support/eventually.ts';
import { fileSandbox } from '../support/shared.ts';

const envs = {
  ANTHROPIC_API_KEY: 'sk-test',
  ANTHROPIC_BASE_URL: ModelEndpoint.url,
  // The only thing that it can reach is the model of the test.
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
};

const typesOf = (events: AgentEvent[]) => events.map(({ type }) => type);

/** Results of tools among events, as text. */
function toolResults(events: AgentEvent[]): string {
  return JSON.stringify(events.filter(({ type }) => type === 'user'));
}

describe('the wrapper around the real agent', { timeout: 2 * turnMs }, () => {
  const sandbox = fileSandbox();
  let model: ModelEndpoint;
  let agent: AgentProgram;
  let session: unknown;

  beforeAll(async () => {
    model = await ModelEndpoint.start(sandbox());
    agent = await AgentProgram.start(sandbox(), 'agent', 'claude-agent-wrapper', envs);
  });

  test('is ready at once, and takes a configuration', async () => {
    await agent.send({
      type: 'configure',
      model: 'claude-of-the-test',
      systemPrompt: 'You do as you are told.',
    });
    expect(await agent.count(2)).toEqual([{ type: 'ready' }, { type: 'configured' }]);
  });

  test('runs the command that the model asks for, in the machine', async () => {
    const before = (await agent.events()).length;
    await agent.send({ type: 'prompt', text: 'run: echo "by $(id -un) in $PWD" | tee /tmp/proof; uname -r' });
    const events = await agent.turn(before);
    const kernel = await sandbox().output('uname -r');
    expect(await sandbox().output('cat /tmp/proof')).toBe('by sandbox in /home/sandbox');
    expect(toolResults(events)).toContain('by sandbox in /home/sandbox');
    expect(toolResults(events)).toContain(kernel);
    expect(events[0]).toMatchObject({ type: 'system', subtype: 'init', cwd: '/home/sandbox' });
    expect(typesOf(events)).toContain('assistant');
    expect(events.at(-2)).toMatchObject({ type: 'result', subtype: 'success', is_error: false });
    expect(events.at(-2)?.['result']).toContain(`the tool said: by sandbox in /home/sandbox`);
    session = events.at(-1)?.['claude_session_id'];
    expect(events.at(-1)).toEqual({
      type: 'turn_complete',
      claude_session_id: events.at(-2)?.['session_id'],
    });
    expect((await model.requests())[0]).toMatchObject({
      key: 'sk-test',
      model: 'claude-of-the-test',
      system: expect.stringContaining('You do as you are told.') as string,
    });
  });

  test('stops a command in the middle, and answers bad input meanwhile', async () => {
    const before = (await agent.events()).length;
    // A trap and a session of its own: nothing that only asks politely ends it.
    await agent.send({
      type: 'prompt',
      text: `run: bash -c 'trap "" TERM INT HUP; exec -a long-work sleep 4711'`,
    });
    await eventually('the command runs', () => sandbox().output('pgrep -f ^long-work'), { withinMs: turnMs });
    await agent.send('this is no JSON');
    await eventually('an answer while the turn runs', async () =>
      typesOf((await agent.events()).slice(before)).includes('error'),
    );
    expect((await agent.events()).at(-1)).toEqual({ type: 'error', message: 'invalid JSON input' });
    await agent.send({ type: 'interrupt' });
    const after = (await agent.events()).findLastIndex(({ type }) => type === 'error') + 1;
    const events = await agent.turn(after);
    expect(events.at(-1)).toEqual({ type: 'interrupted' });
    expect(typesOf(events)).not.toContain('turn_complete');
    expect((await sandbox().run('pgrep -f ^long-work')).stdout).toBe('');
  });

  test('goes on with the same conversation after that', async () => {
    const before = (await agent.events()).length;
    await agent.send({ type: 'prompt', text: 'recall' });
    const events = await agent.turn(before);
    expect(events.at(-1)).toEqual({ type: 'turn_complete', claude_session_id: session });
    const recalled = String(events.at(-2)?.['result']);
    expect(recalled).toContain('tee /tmp/proof');
    expect(recalled).toContain('long-work');
  });

  test('resumes the conversation it is told to, and starts a new one where that is lost', async () => {
    await agent.end();
    expect(await agent.exitCode()).toBe(0);
    const next = await AgentProgram.start(sandbox(), 'next', 'claude-agent-wrapper', envs);
    await next.send({ type: 'prompt', text: 'recall', resume: session });
    const resumed = await next.turn(0);
    expect(String(resumed.at(-2)?.['result'])).toContain('tee /tmp/proof');
    const lost = '00000000-0000-4000-8000-000000000000';
    await next.send({ type: 'configure', resume: lost, cwd: '/tmp' });
    await next.send({ type: 'prompt', text: 'recall' });
    const started = await next.turn(resumed.length);
    expect(started.at(-2)).toMatchObject({ type: 'result', is_error: false, result: '["recall"]' });
    expect(started.at(-1)?.['claude_session_id']).not.toBe(lost);
    expect(await next.diagnostics()).toContain(
      `[claude-agent-wrapper] session ${lost} could not be continued`,
    );
    await next.send({ type: 'configure', cwd: '/no/such/place' });
    await next.send({ type: 'prompt', text: 'recall' });
    const failed = await next.turn(resumed.length + started.length);
    const message = 'cwd is not a directory: /no/such/place. Make it first, or configure another';
    expect(failed).toEqual([{ type: 'configured' }, { type: 'error', message }]);
    await next.end();
    expect(await next.exitCode()).toBe(0);
  });

  test('refuses to start without a key', async () => {
    const keyless = await AgentProgram.start(sandbox(), 'keyless', 'claude-agent-wrapper');
    expect(await keyless.exitCode()).toBe(1);
    expect(await keyless.events()).toEqual([
      { type: 'error', message: 'ANTHROPIC_API_KEY environment variable is not set' },
    ]);
  });
});

describe('the agent of the image', () => {
  const sandbox = fileSandbox();

  test('is there as claude, and as a package for programs', { timeout: turnMs }, async () => {
    expect(await sandbox().output('claude --version')).toMatch(/^\d+\.\d+\.\d+ \(Claude Code\)$/);
    const listed = await sandbox().output('npm ls --global --depth=0');
    for (const name of ['@anthropic-ai/claude-agent-sdk@', '@anthropic-ai/claude-code@', 'npm@'])
      expect(listed).toContain(name);
  });
});
