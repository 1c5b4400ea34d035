import type { Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { Qmp } from '../qemu/qmp.ts';
import { reply, startMonitor } from '../qemu/testing/monitor.ts';
import { quiet } from '../testing/log.ts';
import { failureOf, until } from '../testing/scratch.ts';
import { FullDiskWatch } from './full-disk.ts';

const id = 'sb-01234567';

/** A watch over a QEMU that pauses whenever its host's disk is full. */
async function watched({
  tryAgainMs,
  status: first = 'running',
}: { tryAgainMs?: number; status?: string } = {}) {
  const host = { full: false };
  let status = first;
  let socket: Socket | undefined;
  const monitor = await startMonitor({
    answer: (command, connection) => {
      socket = connection;
      if (command.execute === 'query-status') return reply(connection, command.id, { status });
      if (command.execute === 'cont') status = host.full ? 'io-error' : 'running';
      return reply(connection, command.id, {});
    },
  });
  const qmp = await Qmp.connect(monitor.path, 5000, () => true);
  onTestFinished(() => qmp.close());
  const watch = new FullDiskWatch(qmp, id, quiet, tryAgainMs);
  await watch.look();
  const event = (action: string): void =>
    void socket?.write(`${JSON.stringify({ event: 'BLOCK_IO_ERROR', data: { action } })}\r\n`);
  /** A write of the guest fails. */
  const fill = (): void => {
    host.full = true;
    status = 'io-error';
    event('stop');
  };
  const seen = (name: string): number => monitor.seen.filter(({ execute }) => execute === name).length;
  return { host, watch, qmp, fill, event, seen };
}

test('a machine whose write failed takes no calls, and says why and what to do', async () => {
  const { watch, fill } = await watched();
  watch.assertRuns();
  expect(watch.paused).toBe(false);
  fill();
  await until(() => watch.paused);
  const refusal = await failureOf(watch.unlessFull(Promise.resolve()));
  expect(refusal).toMatchObject({ code: 'no_space', hint: expect.stringContaining('Free') as string });
  expect(() => watch.assertRuns()).toThrow(id);
});

test('who waits for the guest is told at once', async () => {
  const { watch, fill } = await watched();
  const waiting = failureOf(watch.unlessFull(new Promise(() => undefined)));
  const done = await watch.unlessFull(Promise.resolve('done before'));
  fill();
  expect(await waiting).toMatchObject({ code: 'no_space' });
  expect(done).toBe('done before');
});

test('it is tried again and again, and goes on once its write succeeds, as often as that happens', async () => {
  const { host, watch, fill, seen } = await watched({ tryAgainMs: 1 });
  for (let round = 0; round < 2; round++) {
    const tries = seen('cont');
    fill();
    await until(() => seen('cont') >= tries + 3);
    expect(watch.paused).toBe(true);
    host.full = false;
    await until(() => !watch.paused);
    watch.assertRuns();
  }
});

test('a machine that was paused before it was watched is found', async () => {
  const { watch } = await watched({ tryAgainMs: 1, status: 'io-error' });
  expect(watch.paused).toBe(true);
  await until(() => !watch.paused);
});

test('a machine that a change has paused meanwhile is not resumed', async () => {
  const { watch, event, seen } = await watched({ tryAgainMs: 1, status: 'paused' });
  expect(watch.paused).toBe(false);
  event('stop');
  await until(() => seen('query-status') >= 2);
  await until(() => !watch.paused);
  expect(seen('cont')).toBe(0);
});

test('an error that QEMU reports to the guest is none of the host', async () => {
  const { watch, event, qmp } = await watched();
  event('report');
  // Answered after the event.
  await qmp.run('query-status');
  expect(watch.paused).toBe(false);
});
