import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileListType } from '@opencomputer/protocol';
import { expect, test } from 'vitest';
import { failureOf } from '../testing/scratch.ts';
import { listDirectory, readFile } from './files.ts';
import { type GuestHandler, guestSocket, openChannel, startGuest } from './testing/agent.ts';

// What a guest answers costs the event loop, which serves the guests of others too, no more than passing its bytes on.

const mebibyte = 1024 * 1024;
const size = 62 * mebibyte;
const forever = new AbortController().signal;

/** Answers with copies of a text, 62 MiB of them. */
function flood(text: string, type: string, head = ''): GuestHandler {
  const piece = Buffer.from(text.repeat(Math.ceil(mebibyte / 4 / text.length)));
  return ({ stream }) => {
    stream.respond({ ':status': 200, 'content-type': type });
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

/** Runs a call; tells the longest time that the event loop stood still, in milliseconds, and what memory it took. */
async function costOf(call: () => Promise<unknown>): Promise<{ stallMs: number; bytes: number }> {
  const delays = monitorEventLoopDelay({ resolution: 1 });
  const before = process.memoryUsage().rss;
  delays.enable();
  await call();
  await new Promise((resolve) => setImmediate(resolve));
  delays.disable();
  return { stallMs: delays.max / 1e6, bytes: process.memoryUsage().rss - before };
}

const document = 'application/json';
const head = '{"truncated":false}\n';
const entry =
  '{"name":"a","type":"file","isDir":false,"size":1,"mode":"0644","uid":0,"gid":0,"modifiedAt":"2026-01-01T00:00:00Z"}\n';

test.each<[string, GuestHandler]>([
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
])('a list: %s', { timeout: 120_000 }, async (_name, handler) => {
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
  const cost = await costOf(() =>
    failureOf(
      (async () => {
        for await (const _some of (await listDirectory(channel, '/', forever)).entries);
      })(),
    ),
  );
  expect(cost.stallMs).toBeLessThan(20 * base.stallMs);
  expect(cost.bytes).toBeLessThan(base.bytes + 100 * mebibyte);
});
