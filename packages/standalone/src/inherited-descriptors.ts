import { openSync, readdirSync, readFileSync } from 'node:fs';

/** Flag of /proc/PID/fdinfo, octal as there: closed when another program starts. */
const closedOnStart = 0o2000000;

let nothing: number | undefined;

/**
 * Descriptors of this process that a program which it starts would inherit, left open by the program that started this
 * one.
 */
function inheritable(): number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((descriptor) => {
      try {
        const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1');
        const flags = Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(info)?.[1] ?? '', 8);
        return (flags & closedOnStart) === 0;
      } catch (error) {
        // The descriptor that the list was read by is closed again.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
        throw error;
      }
    });
}

/**
 * The end of `stdio` for a program that is started: from descriptor `first` on, an entry that closes each descriptor
 * which the program would inherit, since Node closes only the lowest. A process that takes requests from strangers must
 * not have a pipe, a file or a terminal of the shell that started the platform.
 */
export function withoutInherited(first: number): ('ignore' | number)[] {
  const open = new Set(inheritable());
  const last = Math.max(first - 1, ...open);
  nothing ??= openSync('/dev/null', 'r+');
  const instead = nothing;
  return Array.from({ length: last - first + 1 }, (_, index) =>
    open.has(first + index) ? instead : 'ignore',
  );
}
