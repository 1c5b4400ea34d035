import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { AgentProgram } from '../support/agent-program.ts';
import { eventually } from '../support/eventually.ts';
import { fileSandbox } from '../support/shared.ts';

/** The agent of the guide, word by word. */
async function exampleAgent(): Promise<string> {
  const guide = await readFile(join(import.meta.dirname, '../../docs/guides/agents.md'), 'utf8');
  const source = /```js\n(#!\/usr\/bin\/env node\n[\s\S]*?)```/.exec(guide)?.[1];
  if (source === undefined) throw new Error('the guide has no example of an agent');
  return source;
}

describe('the agent of the guide', () => {
  const sandbox = fileSandbox();
  let agent: AgentProgram;

  beforeAll(async () => {
    await sandbox().write('/home/sandbox/shell-agent', await exampleAgent());
    await sandbox().output('chmod +x /home/sandbox/shell-agent');
    agent = await AgentProgram.start(sandbox(), 'example', '/home/sandbox/shell-agent');
  });

  test('runs prompts in their order', async () => {
    await agent.send({ type: 'configure', model: 'none' });
    await agent.send({ type: 'prompt', text: 'echo hello; exit 3' });
    await agent.send({ type: 'prompt', text: 'id -un' });
    expect(await agent.count(8)).toEqual([
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
    const before = (await agent.events()).length;
    await agent.send({ type: 'prompt', text: 'exec -a endless-work sleep 4712' });
    await eventually('the command runs', () => sandbox().output('pgrep -f ^endless-work'));
    await agent.send({ type: 'interrupt' });
    expect(await agent.turn(before)).toEqual([{ type: 'interrupted' }]);
    expect((await sandbox().run('pgrep -f ^endless-work')).stdout).toBe('');
    await agent.send('nonsense');
    await agent.send({ type: 'prompt', text: 'true' });
    const events = (await agent.count(before + 4)).slice(before + 1);
    expect(events.map(({ type }) => type)).toEqual(['error', 'result', 'turn_complete']);
    await agent.end();
    expect(await agent.exitCode()).toBe(0);
  });
});
