import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { ApiError } from '@opencomputer/protocol';
import { expect, onTestFinished, test, vi } from 'vitest';
import { failureOf, until } from '../testing/scratch.ts';
import { GuestChannel } from './channel.ts';
import { Heartbeat, type HeartbeatOptions } from './heartbeat.ts';
import { guestStats } from './system.ts';
import { answerJson, type FakeGuest, guestSocket, startGuest } from './testing/guest-agent.ts';

const stats = {
  memoryTotalBytes: 1,
  memoryAvailableBytes: 1,
  diskTotalBytes: 1,
  diskFreeBytes: 1,
  load1: 0,
  processes: 1,
  uptimeMs: 1,
};
/** Far below the deadlines of calls. */
const quick = { everyMs: 50, answerMs: 1000, suspectMs: 1000 };

/** A guest behind a port that, like QEMU's, stays open when the guest agent has died. */
async function guestBehindPort(options: HeartbeatOptions): Promise<{
  channel: GuestChannel;
  guest: FakeGuest;
  /** From now on nothing reaches the guest agent or comes from it. A new connection gets a new one. */
  die: () => void;
  /** Calls that are unanswered until then. */
  answerNow: () => void;
}> {
  const inner = await guestSocket();
  const answer = Promise.withResolvers<void>();
  let died = false;
  const guest = await startGuest(inner, async ({ stream, path }) => {
    if (path.endsWith('/stats') && !died) await answer.promise;
    answerJson(stream, stats);
  });
  const path = await guestSocket();
  const lines = new Set<Socket>();
  const port = createServer((outer) => {
    const line = connect(inner);
    lines.add(line);
    outer.pipe(line).pipe(outer);
    for (const end of [outer, line]) end.on('error', () => undefined);
    outer.on('close', () => line.destroy());
  });
  port.listen(path);
  await once(port, 'listening');
  const channel = new GuestChannel({ socketPath: path, identity: () => undefined, heartbeat: options });
  onTestFinished(() => {
    channel.close();
    port.close();
  });
  const die = (): void => {
    died = true;
    for (const line of lines) {
      line.unpipe();
      line.on('data', () => undefined);
    }
  };
  return { channel, guest, die, answerNow: answer.resolve };
}

test('a call to an agent that has died fails soon, and the next finds the new one', async () => {
  const { channel, guest, die } = await guestBehindPort(quick);
  await channel.session();
  const waiting = guestStats(channel);
  die();
  const error = await failureOf(waiting);
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({ code: 'guest_failed' });
  expect(error.message).toMatch(/does not answer any more/);
  expect(await guestStats(channel)).toEqual(stats);
  expect(guest.connections).toBeGreaterThan(1);
});

test('a guest that closes its port is asked at once, also while no call waits', async () => {
  const { channel, die } = await guestBehindPort({ ...quick, everyMs: 60_000 });
  const session = await channel.session();
  die();
  channel.guestLetGo();
  await until(() => session.destroyed);
  expect((await channel.session()) === session).toBe(false);
});

test('a slow answer of a living agent is waited for', async () => {
  // The clock of the heartbeat stands still but for what the test lets pass.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const { everyMs } = quick;
  const { channel, answerNow } = await guestBehindPort({ everyMs, answerMs: 1000 * everyMs });
  const session = await channel.session();
  const { calls: pings } = vi.spyOn(session, 'ping').mock;
  const waiting = guestStats(channel);
  channel.guestLetGo();
  await until(() => {
    vi.advanceTimersByTime(everyMs);
    return pings.length >= 5;
  });
  // The guest has answered all of them once it has answered another: the next one is due.
  await new Promise((resolve) => session.ping(resolve));
  answerNow();
  expect(await waiting).toEqual(stats);
  expect((await channel.session()) === session).toBe(true);
  // Without waiting calls, the guest is not asked.
  await until(() => Heartbeat.of(session)?.calls === 0);
  const asked = pings.length;
  vi.advanceTimersByTime(5 * everyMs);
  expect(pings.length).toBe(asked);
});

test('a paused machine is waited for', async () => {
  let still = true;
  let looks = 0;
  const paused = (): boolean => {
    looks++;
    return still;
  };
  const { channel, die } = await guestBehindPort({ ...quick, answerMs: 50, paused });
  await channel.session();
  const waiting = failureOf(guestStats(channel));
  die();
  await until(() => looks >= 3);
  still = false;
  expect((await waiting).message).toMatch(/does not answer any more/);
});
