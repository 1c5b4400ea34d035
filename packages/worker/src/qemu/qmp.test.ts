import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, onTestFinished, test, vi } from 'vitest';
import { countConnections } from '../testing/connections.ts';
import { failureOf, scratchDirectory, until } from '../testing/scratch.ts';
import { Qmp, QmpError } from './qmp.ts';
import { greeting, reply, startMonitor } from './testing/monitor.ts';

async function connected(path: string, deadlineMs = 5000): Promise<Qmp> {
  const qmp = await Qmp.connect(path, deadlineMs, () => true);
  onTestFinished(() => qmp.close());
  return qmp;
}

/** Waits until the other end of a connection, which is in this process, has read what was written to it. */
async function laterTurn(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await nextTurn();
}

test('waits for the greeting, negotiates, then runs commands with their arguments', async () => {
  const { path, seen } = await startMonitor({
    answer: ({ id }, socket) => reply(socket, id, { status: 'paused' }),
  });
  const qmp = await connected(path);
  expect(seen.map(({ execute }) => execute)).toEqual(['qmp_capabilities']);
  expect(await qmp.run('query-status', { a: 1 })).toEqual({ status: 'paused' });
  expect(seen[1]).toMatchObject({ execute: 'query-status', arguments: { a: 1 } });
  expect(qmp.open).toBe(true);
});

test('waits for a socket that appears late', async () => {
  const path = join(await scratchDirectory(), 'late.sock');
  const tried = countConnections();
  const connecting = Qmp.connect(path, 600_000, () => true);
  await until(() => tried() >= 2);
  const server = createServer((socket) => {
    socket.write(greeting);
    socket.on('data', () => reply(socket, 1, {}));
    onTestFinished(() => void socket.destroy());
  });
  server.listen(path);
  onTestFinished(() => void server.close());
  const qmp = await connecting;
  onTestFinished(() => qmp.close());
  expect(qmp.open).toBe(true);
});

test('gives up at once when the process has ended', async () => {
  const path = join(await scratchDirectory(), 'none.sock');
  await expect(Qmp.connect(path, 60_000, () => false)).rejects.toThrow('ended before its monitor answered');
});

test('gives up at the deadline when no socket appears', async () => {
  const path = join(await scratchDirectory(), 'none.sock');
  await expect(Qmp.connect(path, 50, () => true)).rejects.toThrow('opened no monitor within 50 ms');
});

test('a path that is no socket is an error, not a wait', async () => {
  const error = await failureOf(
    Qmp.connect(join(await scratchDirectory(), 'x'.repeat(200)), 60_000, () => true),
  );
  expect(error).toBeInstanceOf(Error);
});

test('lines come in any pieces, and several at once', async () => {
  const { path } = await startMonitor({
    greet: (socket) => {
      socket.write(greeting.slice(0, 20));
      void laterTurn().then(() => socket.write(greeting.slice(20)));
    },
    answer: ({ id, execute }, socket) => {
      if (execute === 'second') {
        socket.write(`{"return":"both","id":${id - 1}}\n{"return":"at once","id":${id}}\n`);
      } else if (execute === 'pieces') {
        const line = Buffer.from(`{"return":"é€😀","id":${id}}\n`);
        void (async () => {
          for (const byte of line) {
            socket.write(Buffer.from([byte]));
            await laterTurn();
          }
        })();
      }
    },
  });
  const qmp = await connected(path);
  expect(await Promise.all([qmp.run('first'), qmp.run('second')])).toEqual(['both', 'at once']);
  expect(await qmp.run('pieces')).toBe('é€😀');
});

test('events between answers are reported, and answers in another order find their commands', async () => {
  const waiting: number[] = [];
  const { path } = await startMonitor({
    answer: ({ id }, socket) => {
      waiting.push(id);
      if (waiting.length < 2) return;
      for (const each of waiting.toReversed()) {
        socket.write(`{"timestamp":{"seconds":1},"event":"STOP"}\n`);
        reply(socket, each, each);
      }
      socket.write(`{"event":"SHUTDOWN","data":{"reason":"guest-reset"}}\n`);
    },
  });
  const qmp = await connected(path);
  const events: unknown[] = [];
  qmp.on('event', (name, data) => events.push([name, data]));
  const [first, second] = await Promise.all([qmp.run('one'), qmp.run('two')]);
  expect([first, second]).toEqual(waiting);
  if (events.length < 3) await once(qmp, 'event');
  expect(events).toEqual([
    ['STOP', {}],
    ['STOP', {}],
    ['SHUTDOWN', { reason: 'guest-reset' }],
  ]);
});

test('a refusal keeps QEMU’s words, and the next command runs', async () => {
  const { path } = await startMonitor({
    answer: ({ id, execute }, socket) =>
      execute === 'bad'
        ? socket.write(`{"id":${id},"error":{"class":"GenericError","desc":"Device 'x' not found"}}\n`)
        : reply(socket, id, 1),
  });
  const qmp = await connected(path);
  const error = await failureOf(qmp.run('bad'));
  expect(error).toBeInstanceOf(QmpError);
  expect(error.message).toBe("bad: Device 'x' not found");
  expect(await qmp.run('good')).toBe(1);
});

test('a command that is never answered fails at its deadline; a late answer hurts nobody', async () => {
  let late: () => void = () => undefined;
  const { path } = await startMonitor({
    answer: ({ id, execute }, socket) => {
      if (execute === 'slow') late = () => reply(socket, id, 'late');
      else reply(socket, id, execute);
    },
  });
  const qmp = await connected(path);
  await expect(qmp.run('slow', {}, 40)).rejects.toThrow('slow: QEMU did not answer within 40 ms');
  late();
  expect(await qmp.run('next')).toBe('next');
});

test('answers to unknown commands are ignored', async () => {
  const { path } = await startMonitor({
    answer: ({ id }, socket) => {
      reply(socket, 999, 'whose?');
      reply(socket, id, 'mine');
    },
  });
  expect(await (await connected(path)).run('x')).toBe('mine');
});

test('an answer of many megabytes on one line closes the connection, and memory stays', async () => {
  const { path, sockets } = await startMonitor({
    answer: (_command, socket) => void socket.write('x'.repeat(2 * 1024 * 1024)),
  });
  const qmp = await connected(path);
  const closed = once(qmp, 'close');
  await expect(qmp.run('big')).rejects.toThrow('the monitor of QEMU closed');
  await closed;
  expect(qmp.open).toBe(false);
  await expect(qmp.run('more')).rejects.toThrow('is closed');
  expect(sockets).toHaveLength(1);
});

test.each([
  ['text', 'hello\n'],
  ['JSON of another form', '{"hello":1}\n'],
  ['an answer without a number', '{"return":{}}\n'],
  ['a number that is none', '{"return":{},"id":"1"}\n'],
  ['an answer with nothing in it', '{"id":2}\n'],
  ['an event without a name', '{"event":7}\n'],
  ['an event whose data is a list', '{"event":"STOP","data":[1]}\n'],
  ['an error without words', '{"id":2,"error":{"class":"GenericError"}}\n'],
  ['null', 'null\n'],
  ['an empty line', '\n'],
])('%s in place of an answer closes the connection', async (_name, line) => {
  const { path } = await startMonitor({ answer: (_command, socket) => void socket.write(line) });
  const qmp = await connected(path);
  await expect(qmp.run('x')).rejects.toThrow('x: the monitor of QEMU closed');
  expect(qmp.open).toBe(false);
});

test('nothing after a line of nonsense is believed', async () => {
  const { path } = await startMonitor({
    answer: ({ id }, socket) => void socket.write(`nonsense\n{"return":1,"id":${id}}\n{"event":"STOP"}\n`),
  });
  const qmp = await connected(path);
  const events: string[] = [];
  qmp.on('event', (name) => events.push(name));
  await expect(qmp.run('x')).rejects.toThrow('the monitor of QEMU closed');
  expect(events).toEqual([]);
});

test('closing rejects what is under way and says so once', async () => {
  const { path } = await startMonitor({});
  const qmp = await connected(path);
  let closes = 0;
  qmp.on('close', () => closes++);
  const running = [failureOf(qmp.run('a')), failureOf(qmp.run('b'))];
  qmp.close();
  qmp.close();
  for (const error of await Promise.all(running))
    expect(error.message).toContain('the monitor of QEMU closed');
  expect(closes).toBe(1);
});

test('a process that ends in the middle of a command rejects it', async () => {
  const { path, sockets } = await startMonitor({});
  const qmp = await connected(path);
  const running = failureOf(qmp.run('stop'));
  sockets[0]?.destroy();
  expect((await running).message).toBe('stop: the monitor of QEMU closed');
});

test.each([
  ['closes', (socket: Socket): void => void socket.end()],
  ['sends garbage', (socket: Socket): void => void socket.write('SSH-2.0-x\r\n')],
])('a monitor that %s in place of the greeting fails at once, not at the deadline', async (_name, greet) => {
  const { path } = await startMonitor({ greet });
  // Longer than this test may take.
  const error = await failureOf(Qmp.connect(path, 600_000, () => true));
  expect(error).toBeInstanceOf(QmpError);
});

test('a monitor that never greets fails at the deadline and is let go of', async () => {
  const { path, sockets } = await startMonitor({ greet: () => undefined });
  await expect(Qmp.connect(path, 60, () => true)).rejects.toThrow('sent no greeting');
  const [socket] = sockets;
  if (socket !== undefined && !socket.destroyed) await once(socket, 'close');
  expect(sockets).toHaveLength(1);
});

test('a monitor that never ends the negotiation fails at the deadline and is let go of', async () => {
  const { path, sockets } = await startMonitor({ negotiate: false });
  await expect(Qmp.connect(path, 60, () => true)).rejects.toThrow('qmp_capabilities');
  const [socket] = sockets;
  if (socket !== undefined && !socket.destroyed)
    await once(socket, 'close', { signal: AbortSignal.timeout(5000) });
  expect(socket?.destroyed).toBe(true);
});

test('the deadline of the connection does not close it later', async () => {
  const { path } = await startMonitor({ answer: ({ id }, socket) => reply(socket, id, 'still here') });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const qmp = await connected(path, 100);
  vi.advanceTimersByTime(200);
  expect(qmp.open).toBe(true);
  expect(await qmp.run('x')).toBe('still here');
});

test('no timer keeps a process alive that has closed its monitor', async () => {
  const { path } = await startMonitor({ answer: ({ id }, socket) => reply(socket, id, 1) });
  const script = `
    const { Qmp } = await import(${JSON.stringify(join(import.meta.dirname, 'qmp.ts'))});
    const qmp = await Qmp.connect(${JSON.stringify(path)}, 60_000, () => true);
    await qmp.run('x', {}, 60_000);
    qmp.run('never', {}, 60_000).catch(() => undefined);
    qmp.close();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [code] = await once(child, 'exit', { signal: AbortSignal.timeout(10_000) });
  expect(code).toBe(0);
});
