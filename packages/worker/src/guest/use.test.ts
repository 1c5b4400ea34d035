import { guestPaths } from '@opencomputer/protocol';
import { describe, expect, test } from 'vitest';
import { failureOf } from '../testing/scratch.ts';
import { commandResult } from './exec.ts';
import { guestUse } from './sessions.ts';
import {
  answerJson,
  type GuestHandler,
  guestSocket,
  honestHandshake,
  openChannel,
  startGuest,
} from './testing/guest-agent.ts';

async function channelTo(handler: GuestHandler, generation: number) {
  const path = await guestSocket();
  await startGuest(path, handler, async ({ stream, body }) => {
    const { epoch } = JSON.parse(await body()) as { epoch: string };
    answerJson(stream, honestHandshake(epoch, generation));
  });
  return openChannel(path);
}

const session = (id: string, kind: string, running: boolean, agoMs: number) => ({
  id,
  kind,
  running,
  argv: ['make', 'all'],
  exitCode: running ? null : 0,
  timedOut: false,
  truncated: false,
  startedAt: new Date(Date.now() - agoMs - 1000).toISOString(),
  durationMs: 1000,
});

describe('what a guest has in use', () => {
  test('is what its agent says', async () => {
    const use = { sessions: [{ id: '0a1b2c3d', kind: 'pty', command: 'bash' }], count: 1, idleMs: 5 };
    const channel = await channelTo(({ stream, path }) => {
      expect(path).toBe(guestPaths.use);
      answerJson(stream, use);
    }, 3);
    expect(await guestUse(channel)).toEqual(use);
  });

  test('is refused where it makes no sense', async () => {
    const sessions = Array.from({ length: 9 }, () => ({ id: '0a1b2c3d', kind: 'pty', command: 'x' }));
    for (const use of [
      {},
      { sessions, count: 9, idleMs: null },
      { sessions: [], count: -1, idleMs: null },
      { sessions: [], count: 0, idleMs: -1 },
      { sessions: [{ id: '0a1b2c3d', kind: 'pty', command: 'x'.repeat(300) }], count: 1, idleMs: null },
    ]) {
      const channel = await channelTo(({ stream }) => answerJson(stream, use), 3);
      expect(await failureOf(guestUse(channel))).toMatchObject({ code: 'guest_failed' });
    }
  });

  test('is found in the list of an agent that cannot say it: what run has started', async () => {
    const sessions = [session('00000001', 'session', true, 0), session('00000002', 'run', false, 60_000)];
    const list: GuestHandler = ({ stream, path }) => {
      expect(path).toBe(guestPaths.exec);
      answerJson(stream, { sessions });
    };
    const idle = await guestUse(await channelTo(list, 2));
    expect(idle).toMatchObject({ sessions: [], count: 0 });
    expect(idle.idleMs).toBeGreaterThanOrEqual(60_000);
    expect(idle.idleMs).toBeLessThan(120_000);
    sessions.push(session('00000003', 'run', true, 0));
    const busy = await guestUse(await channelTo(list, 2));
    expect(busy).toMatchObject({
      count: 1,
      sessions: [{ id: '00000003', kind: 'run', command: 'make all' }],
    });
  });
});

test('a result that is no longer kept differs from a command that never existed', async () => {
  for (const [code, known] of [
    ['not_kept', 'result_not_kept'],
    ['not_found', 'exec_not_found'],
  ] as const) {
    const channel = await channelTo(
      ({ stream }) => answerJson(stream, { error: { code, message: 'why' } }, 404),
      3,
    );
    expect(await failureOf(commandResult(channel, '0a1b2c3d', 0))).toMatchObject({
      code: known,
      status: 404,
    });
  }
});
