// Run by the tests inside a namespace: makes the attempts that it is given and prints the results.
import { Resolver } from 'node:dns/promises';
import { connect } from 'node:net';
import { systemErrorCode } from '../../host/errors.ts';

/** One attempt: a TCP connection, or a lookup through the given name server. */
export type Attempt = { connect: string; port: number } | { lookup: string; server: string };

export interface Outcome {
  /** "timeout", the system's error code, or what the other side said. */
  result: string;
}

const timeoutMs = 3000;

function tryConnect(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.setTimeout(timeoutMs, () => {
      socket.destroy();
      resolve('timeout');
    });
    socket.on('data', (data: Buffer) => {
      socket.destroy();
      resolve(data.toString());
    });
    socket.on('error', (error) => resolve(systemErrorCode(error) ?? error.message));
    socket.on('end', () => resolve('closed'));
  });
}

async function tryLookup(name: string, server: string): Promise<string> {
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  resolver.setServers([server]);
  try {
    return (await resolver.resolve4(name)).join(',');
  } catch (error) {
    return systemErrorCode(error) ?? String(error);
  }
}

async function attempt(task: Attempt): Promise<Outcome> {
  const result =
    'connect' in task ? await tryConnect(task.connect, task.port) : await tryLookup(task.lookup, task.server);
  return { result };
}

const tasks = JSON.parse(process.argv[2] ?? '[]') as Attempt[];
process.stdout.write(JSON.stringify(await Promise.all(tasks.map(attempt))));
