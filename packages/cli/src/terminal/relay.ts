import { constants } from 'node:os';
import { deferred } from '../deferred.ts';
import { beforeBrokenPipe } from '../output/broken-pipe.ts';
import { LocalError } from '../output/errors.ts';
import { Progress } from '../output/progress.ts';
import { pump } from './input.ts';
import type { ExecSession, SessionCallbacks } from '@opencomputer/sdk';

/** Signals that are passed on to the command. */
const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** How often Ctrl-C must be pressed to leave a command that does not end by it. */
const interruptsMax = 3;
/** How long a command may take to notice a broken pipe, in ms. */
const goodbyeMs = 3000;

/** How `oc` passes signals and notices between a command and its user. */
export interface RelayOptions {
  input: boolean;
  /** What Ctrl-C and similar signals do: end the command, or detach from it. */
  signals: 'pass' | 'leave';
}

/** Callbacks that report lost connections, lost output and hibernation. */
export function relayCallbacks(): SessionCallbacks {
  let progress: Progress | undefined;
  return {
    onDisconnect: () => {
      progress ??= new Progress(process.stderr, 'the connection is lost, trying again');
    },
    onReconnect: () => {
      progress?.end();
      progress = undefined;
    },
    onGap: (bytes) => process.stderr.write(`oc: ${bytes} bytes of output are not kept any more\n`),
    onHibernate: () => process.stderr.write('oc: the sandbox hibernates; any input wakes it\n'),
    onWake: () => process.stderr.write('oc: the sandbox is awake again\n'),
  };
}

/** Passes input, output and signals between a session and this process until it ends. Returns its exit code. */
export async function relay(session: ExecSession, { input, signals }: RelayOptions): Promise<number> {
  const left = deferred<never>();
  const release = onSignals((name, count) => {
    if (signals === 'leave' || count > interruptsMax)
      left.reject(new LocalError(`left session ${session.sessionId}, which goes on`, { code: 'left' }));
    else session.kill(constants.signals[name]).catch(left.reject);
  });
  beforeBrokenPipe(async () => {
    const heard = session.kill(constants.signals.SIGPIPE);
    await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, goodbyeMs))]);
  });
  // The end of input does not end the command, so this is not waited for.
  if (input)
    pump(process.stdin, { send: (data) => session.sendStdin(data) })
      .then(() => (signals === 'pass' ? session.closeStdin() : undefined))
      .catch(left.reject);
  else if (signals === 'pass') session.closeStdin().catch(left.reject);
  try {
    return await Promise.race([left.promise, copyOutput(session)]);
  } finally {
    release();
  }
}

async function copyOutput(session: ExecSession): Promise<number> {
  for await (const { stream, data } of session) {
    const target = process[stream];
    // Not by `once` of node:events, which would throw for a broken pipe; a broken pipe ends the process anyway.
    if (!target.write(data)) await new Promise((resolve) => target.once('drain', resolve));
  }
  return session.done;
}

function onSignals(happen: (name: (typeof passedOn)[number], count: number) => void): () => void {
  let count = 0;
  const listeners = passedOn.map((name) => {
    const listener = (): void => happen(name, ++count);
    process.on(name, listener);
    return [name, listener] as const;
  });
  return () => {
    for (const [name, listener] of listeners) process.off(name, listener);
  };
}
