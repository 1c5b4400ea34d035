import { pipeline, type Readable, Transform, type TransformCallback } from 'node:stream';
import { setImmediate as othersTurn } from 'node:timers/promises';
import {
  ApiError,
  guestLogLineBytes,
  type GuestLogLine,
  guestLogLineSchema,
  JsonGuard,
  type LogEvent,
} from '@opencomputer/protocol';

const newline = 0x0a;
/** Most lines that are read before others have their turn. */
const turnLines = 128;
/** A line is an object with one list, of arguments. */
const lineBounds = { containers: 2, commas: 1200 };

function toEvent({ time, execId, exitCode, ...rest }: GuestLogLine): LogEvent {
  return {
    _time: time,
    ...rest,
    ...(execId === undefined ? {} : { exec_id: execId }),
    ...(exitCode === undefined ? {} : { exit_code: exitCode }),
  };
}

/** One line of the guest as a server-sent event; an empty one keeps the connection alive. */
function present(line: string): string {
  if (line.trim() === '') return ': keepalive\n\n';
  if (!new JsonGuard(lineBounds).allows(Buffer.from(line)))
    return ': a line of the guest had too many values\n\n';
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return ': a line of the guest was not JSON\n\n';
  }
  const parsed = guestLogLineSchema.safeParse(value);
  if (!parsed.success) return ': a line of the guest had the wrong form\n\n';
  return `data: ${JSON.stringify(toEvent(parsed.data))}\n\n`;
}

async function lastWords(ended: () => Promise<boolean>): Promise<string> {
  return (await ended()) ? ': hibernated\n\n' : '';
}

async function handOn(later: Promise<string>, done: TransformCallback): Promise<void> {
  let text: string;
  try {
    text = await later;
  } catch (error) {
    return done(error as Error);
  }
  done(null, text);
}

/**
 * Turns the lines of a guest's logs into server-sent events; what a guest sends that is no such line is left out.
 * @param ended Called at their end: whether the sandbox has hibernated, which is told then.
 */
export function logEvents(lines: Readable, ended: () => Promise<boolean>): Readable {
  let rest: Buffer[] = [];
  let held = 0;
  const read = async (chunk: Buffer): Promise<string> => {
    let from = 0;
    const ready: string[] = [];
    for (let at = chunk.indexOf(newline); at !== -1; at = chunk.indexOf(newline, from)) {
      rest.push(chunk.subarray(from, at));
      ready.push(present(Buffer.concat(rest).toString()));
      rest = [];
      held = 0;
      from = at + 1;
      if (ready.length % turnLines === 0) await othersTurn();
    }
    rest.push(chunk.subarray(from));
    held += chunk.length - from;
    if (held > guestLogLineBytes)
      throw new ApiError(
        'guest_failed',
        `a line of the guest's log is longer than ${guestLogLineBytes} bytes`,
      );
    return ready.join('');
  };
  const events = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      void handOn(read(chunk), done);
    },
    flush(done) {
      void handOn(lastWords(ended), done);
    },
  });
  // The comment lets clients see that the stream stands.
  events.push(': open\n\n');
  return pipeline(lines, events, () => {
    // How it ended is told by the stream that is read.
  });
}
