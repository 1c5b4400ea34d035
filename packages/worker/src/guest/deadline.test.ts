import { createServer, connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { failureOf, until } from '../testing/scratch.ts';
import type { GuestChannel } from './channel.ts';
import { callBytes } from './request.ts';
import { type GuestHandler, guestSocket, openChannel, startGuest } from './testing/guest-agent.ts';

const mebibyte = 1024 * 1024;
const answerBytes = 4 * mebibyte;
/** Far longer than the line needs for what counts as progress, and shorter than it needs for all answers. */
const deadlineMs = 1000;
const atOnce = 10;
const stepMs = 25;

/** A guest behind a line that carries 256 KiB per step, in order. */
async function guestBehindSlowLine(handler: GuestHandler): Promise<GuestChannel> {
  const inner = await guestSocket();
  await startGuest(inner, handler);
  const path = await guestSocket();
  const line = createServer((outer) => {
    const port = connect(inner);
    outer.pipe(port);
    void carry(port, outer).catch(() => outer.destroy());
    for (const end of [outer, port]) end.on('error', () => undefined);
    outer.on('close', () => port.destroy());
  });
  line.listen(path);
  await once(line, 'listening');
  onTestFinished(() => void line.close());
  return openChannel(path);
}

async function carry(from: Socket, to: Socket): Promise<void> {
  let sinceStep = 0;
  for await (const piece of from as AsyncIterable<Buffer>) {
    if (!to.write(piece)) await once(to, 'drain');
    sinceStep += piece.length;
    if (sinceStep < mebibyte / 4) continue;
    sinceStep = 0;
    // Real time: what makes the line slow.
    await delay(stepMs);
  }
}

/** Answers with this many zeros, as fast as they are read. */
const zeros =
  (bytes: number): GuestHandler =>
  async ({ stream }) => {
    stream.respond({ ':status': 200 });
    await pipeline(zeroPieces(bytes), stream).catch(() => undefined);
  };
function* zeroPieces(bytes: number): Generator<Buffer> {
  const piece = Buffer.alloc(mebibyte / 16);
  for (let left = bytes; left > 0; left -= piece.length) yield piece;
}
const large = zeros(answerBytes);
const endless = zeros(Infinity);

async function ask(channel: GuestChannel, path: string, ms = deadlineMs): Promise<number> {
  const session = await channel.session();
  return (await callBytes(session, 'GET', path, { deadlineMs: ms, answerBytes })).length;
}

test('large answers that share a slow connection all arrive, though one alone would have to be sooner', async () => {
  const channel = await guestBehindSlowLine(large);
  await channel.session();
  const started = performance.now();
  const all = await Promise.all(Array.from({ length: atOnce }, () => ask(channel, '/large')));
  expect(new Set(all)).toEqual(new Set([answerBytes]));
  // Otherwise the test has shown nothing.
  expect(performance.now() - started).toBeGreaterThan(1.5 * deadlineMs);
});

test('an answer whose head comes after all the others does, too', async () => {
  let ended = 0;
  const channel = await guestBehindSlowLine(async (call) => {
    if (call.path === '/last') await until(() => ended === atOnce);
    else call.stream.once('close', () => ended++);
    await large(call);
  });
  await channel.session();
  const last = ask(channel, '/last');
  await Promise.all([last, ...Array.from({ length: atOnce }, () => ask(channel, '/large'))]);
  expect(await last).toBe(answerBytes);
});

test('an answer is given up that stops while the others beside it go on for ever', async () => {
  const path = await guestSocket();
  await startGuest(path, async (call) => {
    if (call.path === '/endless') return endless(call);
    call.stream.respond({ ':status': 200 });
    call.stream.write('x');
  });
  const channel = openChannel(path);
  const session = await channel.session();
  const beside = session.request({ ':path': '/endless' });
  beside.on('error', () => undefined).resume();
  expect(await failureOf(ask(channel, '/stops', 200))).toMatchObject({
    code: 'guest_timeout',
    message: 'the guest stopped in the middle of an answer',
  });
  beside.destroy();
});

test('an answer is given up that comes byte by byte', async () => {
  const path = await guestSocket();
  await startGuest(path, ({ stream }) => {
    stream.respond({ ':status': 200 });
    const timer = setInterval(() => stream.write('x'), 10);
    stream.once('close', () => clearInterval(timer));
  });
  const channel = openChannel(path);
  expect(await failureOf(ask(channel, '/drips', 200))).toMatchObject({ code: 'guest_timeout' });
});
