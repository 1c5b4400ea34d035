import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

/** Runs the program as the guest does, without the SDK, which is not on this host. */
async function wrapper(env: Record<string, string>, input: string) {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, 'main.ts')], {
    env: { HOME: '/', ...env },
    stdio: 'pipe',
  });
  child.stdin.end(input);
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise((resolve) => child.once('close', resolve)),
  ]);
  const events = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { type: string; message?: string });
  return { events, stderr, code };
}

describe('the program', () => {
  it('ends with an error where it has no key, and is not ready', async () => {
    for (const env of [{}, { ANTHROPIC_API_KEY: '' }]) {
      expect(await wrapper(env as Record<string, string>, '{"type":"interrupt"}\n')).toMatchObject({
        events: [{ type: 'error', message: 'ANTHROPIC_API_KEY environment variable is not set' }],
        code: 1,
      });
    }
  });

  it('is ready, answers, and ends with its input', async () => {
    const input = ['{"type":"configure","maxTurns":2}', 'nonsense', '{"type":"interrupt"}'].join('\n');
    const { events, code } = await wrapper({ ANTHROPIC_API_KEY: 'key' }, input);
    expect(events.map(({ type }) => type)).toEqual(['ready', 'configured', 'error', 'interrupted']);
    expect(code).toBe(0);
  });

  it('says of a missing SDK what is wrong, and goes on', async () => {
    const prompt = '{"type":"prompt","text":"hi"}\n';
    const { events, stderr, code } = await wrapper({ ANTHROPIC_API_KEY: 'key' }, prompt + prompt);
    expect(events.map(({ type }) => type)).toEqual(['ready', 'error', 'error']);
    expect(events[1]?.message).toMatch(/^the Claude Agent SDK cannot be loaded: /);
    expect(stderr).toMatch(/^\[claude-agent-wrapper\] no turn can run: /);
    expect(code).toBe(0);
  });
});
