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
  const seen = {
    get stdout() {
      return joined('stdout');
    },
    get stderr() {
      return joined('stderr');
    },
    exits: [] as number[],
    scrollbackEnds: [] as number[],
    gaps: [] as number[],
    onStdout: (data: Uint8Array) => chunks.stdout.push(Buffer.from(data)),
    onStderr: (data: Uint8Array) => chunks.stderr.push(Buffer.from(data)),
    onExit: (code: number) => seen.exits.push(code),
    onScrollbackEnd: () => seen.scrollbackEnds.push(seen.stdout.length + seen.stderr.length),
    onGap: (bytes: number) => seen.gaps.push(bytes),
  };
  return seen;
}

/** How long something in a machine may take before it counts as not happening. */
export const patience = { timeout: 60_000, interval: 100 };
