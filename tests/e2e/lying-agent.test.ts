import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '@opencomputer/testing/eventually';
import { MemoryWatch } from '../support/memory.ts';
import { fileSandbox, sharedPids } from '../support/shared.ts';

const execute = promisify(execFile);
const atOnce = 3;
const lies = ['/objects', '/nested', '/lines', '/line', '/string', '/entries'];

/** The agent, but for its lists of directories. */
async function buildLyingAgent(): Promise<Uint8Array<ArrayBuffer>> {
  const scratch = await mkdtemp(join(tmpdir(), 'opencomputer-lying-agent-'));
  try {
    const program = join(scratch, 'agent');
    const overlay = '../tests/support/lying-agent/overlay.json';
    await execute('go', ['build', '-overlay', overlay, '-trimpath', '-ldflags=-s -w', '-o', program, '.'], {
      cwd: join(import.meta.dirname, '../../agent'),
      env: { ...process.env, CGO_ENABLED: '0' },
    });
    return new Uint8Array(await readFile(program));
  } finally {
    await rm(scratch, { recursive: true });
  }
}

describe('a guest whose agent was replaced', () => {
  const liar = fileSandbox();
  const other = fileSandbox();

  beforeAll(async () => {
    await liar().write('/opt/agent', await buildLyingAgent());
    const unit = '/etc/systemd/system/opencomputer-agent.service.d/liar.conf';
    await liar().output(
      `sudo chmod 755 /opt/agent && sudo mkdir -p $(dirname ${unit}) && ` +
        `printf '[Service]\\nExecStart=\\nExecStart=/opt/agent\\n' | sudo tee ${unit} && ` +
        'head -c 62M /dev/zero > ~/large && sudo systemctl daemon-reload && ' +
        // The agent that runs this command is ended by it.
        'sudo systemd-run --quiet systemctl restart opencomputer-agent',
    );
    await eventually('the other agent answers', async () => {
      const { body } = await liar().call('GET', '/files/list?path=/honest');
      return String(body['error']).includes('no lie is known for /honest');
    });
  }, 600_000);

  /** How a list is refused: with a code, or `broken off` where it had begun already. */
  async function refusal(path: string): Promise<unknown> {
    try {
      const { status, body } = await liar().call('GET', `/files/list?path=${path}`);
      return status >= 400 ? body['code'] : status;
    } catch (error) {
      if (error instanceof TypeError) return 'broken off';
      throw error;
    }
  }

  /** How often the liar has begun to tell a lie. */
  async function timesTold(path: string): Promise<number> {
    const { body } = await liar().call('GET', `/files/list?path=/told${path}`);
    return Number(/^told (\d+) times$/.exec(String(body['error']))?.[1]);
  }

  /** The longest that a command of the other sandbox took while the liar was asked, in milliseconds. */
  async function slowest<Answer>(ask: () => Promise<Answer>): Promise<{ tookMs: number; answers: Answer[] }> {
    const state = { asking: true };
    const asked = Promise.all(Array.from({ length: atOnce }, ask)).finally(() => (state.asking = false));
    let tookMs = 0;
    while (state.asking) {
      const started = performance.now();
      await other().output('true');
      tookMs = Math.max(tookMs, performance.now() - started);
    }
    return { tookMs, answers: await asked };
  }

  test(
    'holds up another sandbox no longer than one that sends as much of a file',
    { timeout: 600_000 },
    async () => {
      const large = async (): Promise<number> => (await liar().read('/home/sandbox/large')).length;
      const bases = [await slowest(large), await slowest(large)];
      const baseMs = Math.max(...bases.map(({ tookMs }) => tookMs));
      expect(bases.flatMap(({ answers }) => answers)).toEqual(Array(2 * atOnce).fill(62 * 2 ** 20));
      using watch = new MemoryWatch(sharedPids());
      for (const path of lies) {
        const { tookMs, answers } = await slowest(() => refusal(path));
        expect({ path, told: await timesTold(path) }).toEqual({ path, told: atOnce });
        for (const answer of answers) expect(['guest_failed', 'too_large', 'broken off']).toContain(answer);
        expect(tookMs).toBeLessThan(4 * baseMs);
      }
      expect(watch.growthMB).toBeLessThan(400);
      expect((await liar().output('echo still here')).trim()).toBe('still here');
    },
  );
});
