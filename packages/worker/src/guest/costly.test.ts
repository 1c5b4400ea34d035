import { fileListType } from '@opencomputer/protocol';
import { expect, test } from 'vitest';
import { failureOf } from '../testing/scratch.ts';
import type { GuestChannel } from './channel.ts';
import { startCommand } from './exec.ts';
import { listDirectory, readFile } from './files.ts';
import { listSessions } from './sessions.ts';
import { guestStats } from './system.ts';
import { type GuestHandler, guestSocket, openChannel, startGuest } from './testing/guest-agent.ts';

// The event loop serves the guests of all users: handling an answer must cost no more than passing its bytes on.

const mebibyte = 1024 * 1024;
const size = 62 * mebibyte;
const forever = new AbortController().signal;

/** Answers with copies of a text, 62 MiB of them. */
function flood(text: string, type: string, head = '', status = 200): GuestHandler {
  const piece = Buffer.from(text.repeat(Math.ceil(mebibyte / 4 / text.length)));
  return ({ stream }) => {
    stream.respond({ ':status': status, 'content-type': type });
    stream.write(head);
    let sent = 0;
    const pump = (): void => {
      while (!stream.destroyed && sent < size) {
        sent += piece.length;
        if (!stream.write(piece)) return void stream.once('drain', pump);
      }
      stream.end();
    };
    pump();
  };
}

/**
 * Runs a call. @returns the longest time that the event loop was blocked, in milliseconds, and the memory that it took
 */
async function costOf(call: () => Promise<unknown>): Promise<{ stallMs: number; bytes: number }> {
  const before = process.memoryUsage().rss;
  let last = performance.now();
  let stallMs = 0;
  const tick = (): void => {
    const now = performance.now();
    stallMs = Math.max(stallMs, now - last);
    last = now;
  };
  const timer = setInterval(tick, 1);
  await call();
  // The last piece has kept the timer waiting.
  tick();
  clearInterval(timer);
  return { stallMs, bytes: Math.max(process.memoryUsage().rss - before, 0) };
}

/** A guest that answers this way, and what it costs to pass on 62 MiB of a file. */
async function measuredGuest(
  handler: GuestHandler,
): Promise<{ channel: GuestChannel; base: { stallMs: number; bytes: number } }> {
  const path = await guestSocket();
  let current = flood('x', 'application/octet-stream');
  await startGuest(path, (call) => current(call));
  const channel = openChannel(path);
  const pass = async (): Promise<void> => {
    for await (const _piece of (await readFile(channel, '/a', forever)).stream);
  };
  await pass();
  const base = await costOf(pass);
  current = handler;
  return { channel, base };
}

const document = 'application/json';
const head = '{"truncated":false}\n';
const entry =
  '{"name":"a","type":"file","isDir":false,"size":1,"mode":"0644","uid":0,"gid":0,"modifiedAt":"2026-01-01T00:00:00Z"}\n';

async function list(channel: GuestChannel): Promise<void> {
  for await (const _some of (await listDirectory(channel, '/', forever)).entries);
}
const run = (channel: GuestChannel): Promise<unknown> =>
  startCommand(channel, { id: '0123abcd', argv: ['true'] });
const result = (output: string): string =>
  `{"id":"0123abcd","running":false,"exitCode":0,"timedOut":false,"startedAt":"","durationMs":1,"stdout":"${output}`;

test.each<[string, GuestHandler, ((channel: GuestChannel) => Promise<unknown>)?]>([
  ['empty objects', flood('{},', document, '{"entries":[')],
  ['wrong entries', flood('{"name":1},', document, '{"entries":[')],
  ['nested lists', flood('[', document)],
  ['one string', flood('x', document, '"')],
  ['empty objects in lines', flood('{}\n', fileListType, head)],
  ['empty lines', flood('\n', fileListType, head)],
  ['lines of nested lists', flood(`${'['.repeat(4000)}\n`, fileListType, head)],
  ['one line', flood('{},', fileListType)],
  ['more entries than there may be', flood(entry, fileListType, head)],
  [
    'entries with nothing but repeated fields',
    flood(`${entry.slice(0, -2)}${',"name":"a"'.repeat(300)}}\n`, fileListType, head),
  ],
  [
    'a document that is as large as one may be',
    ({ stream }) => {
      stream.respond({ ':status': 200, 'content-type': document });
      stream.end(
        `{"entries":[${'{},'.repeat(98_000)}{}],"truncated":false,"x":[${'{},'.repeat(240_000)}{}]}`,
      );
    },
  ],
  ['a result that is empty objects', flood('{},', document, '['), run],
  [
    'a result with empty objects beside its output',
    flood('{},', document, `${result('"')},"stderr":"","x":[`),
    run,
  ],
  ['a result with output without end', flood('aaaa', document, result('')), run],
  ['the state of the guest, nested', flood('[', document), guestStats],
  ['commands that are empty objects', flood('{},', document, '{"sessions":['), listSessions],
  ['commands with nothing but arguments', flood('"",', document, '{"sessions":[{"argv":['), listSessions],
  ['commands with one long argument', flood('x', document, '{"sessions":[{"argv":["'), listSessions],
  ['an error that is empty objects', flood('{},', document, '[', 500), guestStats],
])('%s', { timeout: 120_000 }, async (_name, handler, call = list) => {
  const { channel, base } = await measuredGuest(handler);
  const cost = await costOf(() => failureOf(call(channel)));
  expect(cost.stallMs).toBeLessThan(20 * base.stallMs);
  expect(cost.bytes).toBeLessThan(base.bytes + 100 * mebibyte);
});

const session = JSON.parse(`${result('')}"}`) as Record<string, unknown>;
test.each<[string, string, (channel: GuestChannel) => Promise<unknown>]>([
  ['the largest output', `${result('AAAA'.repeat(2 * mebibyte))}","stderr":"","truncated":true}`, run],
  [
    'the longest arguments',
    JSON.stringify({
      sessions: Array.from({ length: 60 }, () => ({
        ...session,
        truncated: false,
        argv: ['x'.repeat(130_000)],
      })),
    }),
    listSessions,
  ],
])('%s that may be', { timeout: 120_000 }, async (_name, text, call) => {
  const { channel, base } = await measuredGuest(({ stream }) => {
    stream.respond({ ':status': 200 });
    stream.end(text);
  });
  const cost = await costOf(() => call(channel));
  expect(cost.stallMs).toBeLessThan(20 * base.stallMs);
});
