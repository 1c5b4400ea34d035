import { expect, onTestFinished, test } from 'vitest';
import { hangUpAndWait } from './guest-port.ts';
import { Qmp } from './qmp.ts';
import { reply, startMonitor } from './testing/monitor.ts';

/** A machine whose guest holds its port open and has sent these numbers of messages, one for each query. */
async function machine(options: { messages: readonly number[]; open?: readonly boolean[]; event?: boolean }) {
  let looks = 0;
  let hungUp = false;
  const { path } = await startMonitor({
    answer: ({ execute, id }, socket) => {
      if (execute === 'query-chardev') {
        const open = options.open?.[looks - 1] ?? true;
        reply(socket, id, [{ label: 'agent', 'frontend-open': open, filename: 'unix' }]);
        return;
      }
      reply(socket, id, {
        name: 'virtio-serial',
        'used-idx': options.messages[looks] ?? options.messages.at(-1),
      });
      looks++;
      if (hungUp && options.event === true)
        socket.write('{"event":"VSERPORT_CHANGE","data":{"open":true,"id":"agent"}}\r\n');
    },
  });
  const qmp = await Qmp.connect(path, 5_000, () => true);
  onTestFinished(() => qmp.close());
  return { qmp, hangUp: () => void (hungUp = true), looks: () => looks };
}

test('a guest that closes and opens its port between two looks is noticed without an event', async () => {
  const { qmp, hangUp } = await machine({ messages: [4, 6] });
  await hangUpAndWait(qmp, hangUp);
});

test('an event of an earlier call does not end the waiting', async () => {
  const { qmp, hangUp, looks } = await machine({ messages: [4, 4, 4, 5, 6], event: true });
  await hangUpAndWait(qmp, hangUp);
  expect(looks()).toBe(5);
});

test('the count of messages may overflow', async () => {
  const { qmp, hangUp, looks } = await machine({ messages: [0xffff, 0xffff, 0, 1] });
  await hangUpAndWait(qmp, hangUp);
  expect(looks()).toBe(4);
});

test('a port that is closed in the end is waited for', async () => {
  const { qmp, hangUp, looks } = await machine({ messages: [4, 7, 8], open: [true, false, true] });
  await hangUpAndWait(qmp, hangUp);
  expect(looks()).toBe(3);
});

test('a guest that does not react is reported', async () => {
  const { qmp, hangUp } = await machine({ messages: [4] });
  await expect(hangUpAndWait(qmp, hangUp)).rejects.toThrow('did not see the channel end');
});

test('an answer that is none is an error', async () => {
  const { qmp, hangUp } = await machine({ messages: [-1] });
  await expect(hangUpAndWait(qmp, hangUp)).rejects.toThrow('used-idx');
});
