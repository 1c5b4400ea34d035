import type { AttachOptions } from '../../clients/live.ts';

/** What a session has told, as it comes. */
export interface Recorder extends Required<
  Pick<AttachOptions, 'onStdout' | 'onStderr' | 'onExit' | 'onScrollbackEnd' | 'onGap'>
> {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exits: number[];
  /** Bytes that had come at each end of the scrollback. */
  readonly scrollbackEnds: number[];
  readonly gaps: number[];
}

export function recorder(): Recorder {
  const chunks: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] };
  const joined = (name: 'stdout' | 'stderr'): Buffer => {
    const all = Buffer.concat(chunks[name]);
    chunks[name] = [all];
    return all;
  };
  const exits: number[] = [];
  const scrollbackEnds: number[] = [];
  const gaps: number[] = [];
  const callbacks = {
    onStdout: (data: Uint8Array) => chunks.stdout.push(Buffer.from(data)),
    onStderr: (data: Uint8Array) => chunks.stderr.push(Buffer.from(data)),
    onExit: (code: number) => exits.push(code),
    onScrollbackEnd: () => scrollbackEnds.push(joined('stdout').length + joined('stderr').length),
    onGap: (bytes: number) => gaps.push(bytes),
  };
  // Not enumerable: what was told is no option of the call that the callbacks are given to.
  return Object.defineProperties(callbacks, {
    stdout: { get: () => joined('stdout') },
    stderr: { get: () => joined('stderr') },
    exits: { value: exits },
    scrollbackEnds: { value: scrollbackEnds },
    gaps: { value: gaps },
  }) as typeof callbacks & Omit<Recorder, keyof typeof callbacks>;
}

/** How long something in a machine may take before it counts as not happening. */
export const patience = { timeout: 60_000, interval: 100 };
