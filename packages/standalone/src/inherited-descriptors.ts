import { openSync, readdirSync, readFileSync } from 'node:fs';

/** Flag of /proc/PID/fdinfo, octal as there: closed when another program starts. */
const closedOnStart = 0o2000000;

let nothing: number | undefined;

/** Descriptors of this process that a program would inherit which it starts: what starts this one has left them open. */
function inheritable(): number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((descriptor) => {
      try {
        const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1');
        const flags = Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(info)?.[1] ?? '', 8);
        return (flags & closedOnStart) === 0;
      } catch (error) {
        // That which the list was read by is closed again.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
        throw error;
      }
    });
}

/**
 * What a program that is started finds at its descriptors from `first` on, for the end of its `stdio`: nothing in
 * place of each that it would inherit, since Node closes the lowest only. A pipe, a file or a terminal of the shell that started
 * the platform is not to be in the hands of what takes requests from strangers.
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
