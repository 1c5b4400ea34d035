import { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { encodeGuestFrame, encodeExitCode, frameTypes, type SessionFrame } from '@opencomputer/protocol';
import { describe, expect, test } from 'vitest';
import { InputQueue } from './input.ts';
import { Upstream } from './upstream.ts';

/** The worker's end of a connection is the test. */
function connection(): Duplex {
  return new Duplex({
    read: () => undefined,
    write: (_chunk, _encoding, done) => done(),
  });
}

const tiny = encodeGuestFrame(frameTypes.stdout, Buffer.from('x'));
const count = 20_000;
const flood = Buffer.concat(Array.from({ length: count }, () => tiny));
const exit = encodeGuestFrame(frameTypes.exit, encodeExitCode(7));

/** Follows a connection. @returns what came, all of it in the end, and the most frames in one turn of the event loop */
function followed(
  socket: Duplex,
  each: (upstream: Upstream, frames: readonly SessionFrame[]) => void = () => undefined,
): { upstream: Upstream; frames: SessionFrame[]; most: () => number; ended: Promise<void> } {
  const upstream = new Upstream(socket);
  const frames: SessionFrame[] = [];
  let most = 0;
  let thisTurn = 0;
  const state = { over: false };
  const ended = upstream
    .follow(new InputQueue(), (some) => {
      frames.push(...some);
      thisTurn += some.length;
      most = Math.max(most, thisTurn);
      each(upstream, some);
    })
    .finally(() => (state.over = true));
  void (async () => {
    while (!state.over) {
      await nextTurn();
      thisTurn = 0;
    }
  })();
  return { upstream, frames, most: () => most, ended };
}

describe('many tiny frames in one chunk', () => {
  test('leave others their turn, and all arrive in order', async () => {
    const socket = connection();
    const { frames, most, ended } = followed(socket);
    socket.push(flood);
    socket.push(exit);
    socket.push(null);
    await ended;
    expect(frames).toHaveLength(count + 1);
    expect(frames.at(-1)).toEqual({ type: 'exit', code: 7 });
    expect(most()).toBeLessThanOrEqual(1024);
  });

  test('all arrive, also when the connection breaks behind them', async () => {
    const socket = connection();
    const { frames, ended } = followed(socket);
    socket.push(Buffer.concat([flood, exit]));
    await nextTurn();
    socket.destroy();
    await ended;
    expect(frames).toHaveLength(count + 1);
  });

  test('wait while nothing is taken', async () => {
    const socket = connection();
    const { upstream, frames, ended } = followed(socket, (to, some) => {
      if (some.length > 0 && frames.length < count / 2) to.pause();
    });
    socket.push(flood);
    socket.push(exit);
    socket.push(null);
    let turns = 0;
    for (; frames.length < count / 2; turns++) {
      const before = frames.length;
      for (let turn = 0; turn < 5; turn++) await nextTurn();
      if (turns > 0) expect(frames.length).toBe(before);
      upstream.resume();
      await nextTurn();
    }
    await ended;
    expect(turns).toBeGreaterThan(5);
    expect(frames).toHaveLength(count + 1);
  });

  test('are dropped by whoever has enough of them', async () => {
    const socket = connection();
    const { upstream, frames, ended } = followed(socket, (to) => to.close());
    socket.push(flood);
    await ended;
    const had = frames.length;
    await nextTurn();
    expect([frames.length, had < count]).toEqual([had, true]);
    upstream.resume();
    await nextTurn();
    expect(frames).toHaveLength(had);
  });
});

test('a frame that is broken ends the connection after those before it', async () => {
  const socket = connection();
  const { frames, ended } = followed(socket);
  socket.push(Buffer.concat([flood, Buffer.of(1, 255, 255, 255, 255)]));
  await ended;
  expect(frames.length).toBeGreaterThan(0);
  expect(socket.destroyed).toBe(true);
});
