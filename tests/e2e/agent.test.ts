import { beforeAll, describe, expect, test } from 'vitest';
import { Sandbox, type AgentEvent } from '../../packages/sdk/src/index.ts';
import { TestAgent, turnMs } from '../support/agent-session.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { modelRequests, obedientModelEnvs, startObedientModel } from '../support/obedient-model.ts';
import { fileSandbox } from '../support/shared.ts';

const long = process.env['OPENCOMPUTER_TEST_LONG'] === '1';

/** Results of tools among events, as text. */
function toolResults(events: AgentEvent[]): string {
  return JSON.stringify(events.filter(({ type }) => type === 'user'));
}

describe('the real agent, told what to do by a model of ours', { timeout: 2 * turnMs }, () => {
  const machine = fileSandbox({ envs: obedientModelEnvs });
  let sandbox: Sandbox;
  let agent: TestAgent;
  let conversation: unknown;

  beforeAll(async () => {
    await startObedientModel(machine());
    sandbox = await Sandbox.connect(machine().id);
  });

  /** Waits until the agent runs a command of this name. */
  async function runs(name: string): Promise<void> {
    // Whoever asks all the while takes the time of the only processor.
    await agent.event('assistant');
    await eventually(`${name} runs`, () => machine().output(`pgrep -f ^${name}`), { everyMs: 1000 });
  }

  test('stops a command in the middle, and answers bad input meanwhile', async () => {
    agent = await TestAgent.start(sandbox, {
      model: 'claude-of-the-test',
      systemPrompt: 'You do as you are told.',
      // It ignores every signal that asks politely.
      prompt: `run: bash -c 'trap "" TERM INT HUP; exec -a long-work sleep 4711'`,
    });
    await runs('long-work');
    const raw = await sandbox.exec.attach(agent.session.sessionId);
    await raw.sendStdin('this is no JSON\n');
    raw.close();
    const events = await agent.turn();
    expect(events.slice(0, 3)).toMatchObject([
      { type: 'ready' },
      { type: 'configured' },
      { type: 'system', subtype: 'init', cwd: '/home/sandbox' },
    ]);
    conversation = events[2]?.['session_id'];
    expect(conversation).toMatch(/^[0-9a-f-]{36}$/);
    expect(events.at(-1)).toEqual({ type: 'error', message: 'invalid JSON input' });
    await agent.session.interrupt();
    expect((await agent.turn()).at(-1)).toEqual({ type: 'interrupted' });
    expect((await machine().run('pgrep -f ^long-work')).stdout).toBe('');
    expect((await modelRequests(machine()))[0]).toMatchObject({
      key: 'sk-test',
      model: 'claude-of-the-test',
      system: expect.stringContaining('You do as you are told.') as string,
    });
  });

  test('goes on with the conversation after that, after a hibernation, for a client that comes later: runs the command that the model asks for, in the machine', async () => {
    await sandbox.hibernate();
    const later = await Sandbox.connect(machine().id);
    const again = await TestAgent.attach(later, agent.session.sessionId);
    await again.session.configure({ maxTurns: 7 });
    await again.session.sendPrompt('run: echo "by $(id -un) in $PWD" | tee /tmp/proof; uname -r');
    const events = await agent.turn();
    expect(await machine().output('cat /tmp/proof')).toBe('by sandbox in /home/sandbox');
    expect(toolResults(events)).toContain('by sandbox in /home/sandbox');
    expect(toolResults(events)).toContain(await machine().output('uname -r'));
    expect(events[0]).toEqual({ type: 'configured' });
    const [result, end] = events.slice(-2);
    expect(result).toMatchObject({ type: 'result', subtype: 'success', is_error: false });
    expect(result?.['result']).toContain('the tool said: by sandbox in /home/sandbox');
    expect(end).toEqual({ type: 'turn_complete', claude_session_id: conversation });
    const prompts = (await modelRequests(machine())).at(-1)?.prompts.join('\n');
    expect(prompts).toContain('long-work');
    expect(prompts).toContain('tee /tmp/proof');
    await eventually('the same history for both', () => again.events.length === agent.events.length);
    expect(again.events).toEqual(agent.events);
    again.session.close();
  });

  test('is listed, and killed with what it runs', async () => {
    await agent.session.sendPrompt(`run: bash -c 'exec -a other-work sleep 4711'`);
    await runs('other-work');
    expect(await sandbox.agent.list()).toMatchObject([
      { sessionID: agent.session.sessionId, sandboxID: machine().id, running: true },
    ]);
    await agent.session.kill();
    expect(await agent.ended()).toBe(137);
    expect((await machine().run('pgrep -f "[o]ther-work|[c]laude"')).stdout).toBe('');
    expect((await sandbox.agent.list()).filter(({ running }) => running)).toEqual([]);
  });

  // Minutes under emulation, and the wrapper's own tests have the same cases.
  test.runIf(long)(
    'resumes the conversation it is told to, and starts a new one where that is lost',
    async () => {
      const next = await TestAgent.start(sandbox, { prompt: 'recall', resume: String(conversation) });
      expect((await next.turn()).at(-2)?.['result']).toContain('tee /tmp/proof');
      const lost = '00000000-0000-4000-8000-000000000000';
      await next.session.configure({ resume: lost, cwd: '/tmp' });
      await next.session.sendPrompt('recall');
      const started = await next.turn();
      expect(started.at(-2)).toMatchObject({ type: 'result', is_error: false, result: '["recall"]' });
      expect(started.at(-1)?.['claude_session_id']).not.toBe(lost);
      expect(next.diagnostics).toContain(`[claude-agent-wrapper] session ${lost} could not be continued`);
      await next.session.configure({ cwd: '/no/such/place' });
      await next.session.sendPrompt('recall');
      const message = 'cwd is not a directory: /no/such/place. Make it first, or configure another';
      expect(await next.turn()).toEqual([{ type: 'configured' }, { type: 'error', message }]);
      await next.session.kill();
    },
  );
});

describe('a sandbox without a key', () => {
  const machine = fileSandbox();

  test('has no agent, and says why', { timeout: turnMs }, async () => {
    const agent = await TestAgent.start(await Sandbox.connect(machine().id), { prompt: 'hello' });
    expect(await agent.ended()).toBe(1);
    expect(agent.events).toEqual([
      { type: 'error', message: 'ANTHROPIC_API_KEY environment variable is not set' },
    ]);
  });

  test('has claude as a command, and as a package for programs', { timeout: turnMs }, async () => {
    expect(await machine().output('claude --version', { timeout: 300 })).toMatch(
      /^\d+\.\d+\.\d+ \(Claude Code\)$/,
    );
    const packages = '/usr/local/lib/node_modules';
    for (const name of ['@anthropic-ai/claude-agent-sdk', '@anthropic-ai/claude-code', 'npm'])
      expect(await machine().output(`grep '"name"' ${packages}/${name}/package.json`)).toContain(`"${name}"`);
  });
});
