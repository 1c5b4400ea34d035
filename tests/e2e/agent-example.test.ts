import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Sandbox } from '../../packages/sdk/src/index.ts';
import { TestAgent } from '../support/agent-session.ts';
import { eventually } from '../support/eventually.ts';
import { TestPlatform } from '../support/platform.ts';

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
});
