import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runInThisContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Sandbox, type AgentEvent, type SandboxOptions } from '../../packages/sdk/src/index.ts';
import { TestAgent } from '../support/agent-session.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { TestPlatform } from '../support/platform.ts';

/** What the README of the client shows of agents, as a function of the names that it leaves to its reader. */
async function readmeProgram(): Promise<(...values: unknown[]) => Promise<void>> {
  const readme = await readFile(join(import.meta.dirname, '../../packages/sdk/README.md'), 'utf8');
  const source = /^## Agents\n[\s\S]*?```ts\n([\s\S]*?)```/m.exec(readme)?.[1];
  if (source === undefined) throw new Error('the README shows no agent');
  const program = `(async (Sandbox, key, show, console) => {${source}})`;
  return runInThisContext(program) as (...values: unknown[]) => Promise<void>;
}

/** The agent of the guide, word by word. */
async function exampleAgent(): Promise<string> {
  const guide = await readFile(join(import.meta.dirname, '../../docs/guides/agents.md'), 'utf8');
  const source = /```js\n(#!\/usr\/bin\/env node\n[\s\S]*?)```/.exec(guide)?.[1];
  if (source === undefined) throw new Error('the guide has no example of an agent');
  return source;
}

describe('the agent of the guide, in place of the one of the image', () => {
  let platform: TestPlatform;
  let sandbox: Sandbox;
  let agent: TestAgent;

  beforeAll(async () => {
    platform = await TestPlatform.start({
      env: { OPENCOMPUTER_AGENT_COMMAND: '/home/sandbox/shell-agent' },
    });
    sandbox = await Sandbox.create({ apiUrl: platform.url, apiKey: platform.key });
    await sandbox.files.write('/home/sandbox/shell-agent', await exampleAgent());
    await sandbox.exec.run('chmod +x /home/sandbox/shell-agent');
  });
  afterAll(() => platform?.destroy());

  test('runs prompts in their order', async () => {
    agent = await TestAgent.start(sandbox, { model: 'none', prompt: 'echo hello; exit 3' });
    await agent.session.sendPrompt('id -un');
    await agent.turn();
    await agent.turn();
    expect(agent.events).toEqual([
      { type: 'ready' },
      { type: 'configured' },
      { type: 'assistant', message: { content: [{ type: 'text', text: 'hello\n' }] } },
      { type: 'result', subtype: 'success', is_error: true, result: 'exit code 3' },
      { type: 'turn_complete', claude_session_id: null },
      { type: 'assistant', message: { content: [{ type: 'text', text: 'sandbox\n' }] } },
      { type: 'result', subtype: 'success', is_error: false, result: 'exit code 0' },
      { type: 'turn_complete', claude_session_id: null },
    ]);
  });

  test('is interrupted, and goes on', async () => {
    await agent.session.sendPrompt('exec -a endless-work sleep 4712');
    await eventually('the command runs', async () => {
      const { stdout } = await sandbox.exec.run('pgrep -f ^endless-work');
      return stdout;
    });
    await agent.session.interrupt();
    expect(await agent.turn()).toEqual([{ type: 'interrupted' }]);
    expect((await sandbox.exec.run('pgrep -f ^endless-work')).stdout).toBe('');
    await agent.session.sendPrompt('true');
    expect((await agent.turn()).map(({ type }) => type)).toEqual(['result', 'turn_complete']);
    await agent.session.kill();
    expect(await agent.ended()).toBe(137);
  });

  test('serves the program of the README', async () => {
    const events: AgentEvent[] = [];
    const errors: string[] = [];
    let made: Sandbox | undefined;
    const create = async (options: SandboxOptions): Promise<Sandbox> => {
      expect(options.envs).toEqual({ ANTHROPIC_API_KEY: 'sk-test' });
      made = await Sandbox.create({ ...options, apiUrl: platform.url, apiKey: platform.key });
      await made.files.write('/home/sandbox/shell-agent', await exampleAgent());
      await made.exec.run('chmod +x /home/sandbox/shell-agent');
      return made;
    };
    const program = await readmeProgram();
    const show = (event: AgentEvent): void => void events.push(event);
    await program({ create }, 'sk-test', show, { error: (text: string) => errors.push(text) });
    expect(errors).toEqual([]);
    // It was killed as soon as it was attached to: how far it got by then is open.
    expect(events.slice(0, 2)).toEqual([{ type: 'ready' }, { type: 'configured' }].slice(0, events.length));
    await eventually('the agent has ended', async () => {
      const [agent] = (await made?.agent.list()) ?? [];
      return agent?.running === false;
    });
    await made?.kill();
  });
});
