import { rm } from 'node:fs/promises';
import { request } from 'node:http';
import { Child } from '../children.ts';
import { atMost, compare, type Finding } from '../finding.ts';
import { type Context, timed } from './context.ts';

const rounds = 7;
const quickRounds = 3;
const limitMs = 1000;
const deadlineMs = 30_000;

async function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request({ socketPath, agent: false }, (answer) => {
      answer.resume();
      resolve(true);
    });
    call.once('error', () => resolve(false));
    call.end();
  });
}

/** Start of a Node that answers HTTP and does nothing else. @param base path of files that it may make */
async function startEmptyServer(base: string): Promise<number> {
  const socket = `${base}.sock`;
  await rm(socket, { force: true });
  const module = new URL('empty-server.ts', import.meta.url).pathname;
  const env = { ...process.env, EMPTY_SERVER_SOCKET: socket };
  let child: Child | undefined;
  try {
    const { ms } = await timed(async () => {
      child = Child.start('empty server', module, env, `${base}.log`);
      await child.until(() => answers(socket), deadlineMs);
    });
    return ms;
  } finally {
    await child?.stop();
  }
}

/** The server's own start, while the worker runs: from the start of its process to its first answer. */
export async function measureStart({ platform, options, say }: Context): Promise<Finding[]> {
  const ours: number[] = [];
  const floor: number[] = [];
  const count = options.quick ? quickRounds : rounds;
  for (let round = 0; round < count; round++) {
    say(`start of the server: ${round + 1} of ${count}`);
    await platform.stopServer();
    ours.push(await platform.startServer());
    floor.push(await startEmptyServer(platform.scratch('empty')));
  }
  return [
    compare({ group: 'start', name: 'start of the server', unit: 'ms' }, ours, floor, atMost(limitMs, 'ms')),
  ];
}
