/** Names that are used for the same thing, here or in other products; in lower case, without `_` and `-`. */
const synonyms: readonly (readonly string[])[] = [
  ['templateid', 'template'],
  ['memorymb', 'memory', 'mem', 'ram', 'memorymib'],
  ['cpucount', 'cpu', 'cpus', 'vcpu', 'vcpus', 'cores'],
  ['diskmb', 'disk', 'disksize', 'storage'],
  ['envs', 'env', 'environment', 'envvars', 'variables'],
  ['metadata', 'labels', 'tags', 'annotations'],
  ['timeout', 'idletimeout', 'timeoutseconds', 'timeoutms', 'timeoutsec', 'ttl'],
  ['cmd', 'command'],
  ['args', 'argv', 'arguments'],
  ['cwd', 'workdir', 'workingdirectory', 'directory', 'dir'],
  ['cols', 'columns', 'width'],
  ['rows', 'lines', 'height'],
  ['count', 'number', 'amount'],
  ['expiresin', 'expires', 'expiry'],
];

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, '');
}

/** How many letters must be changed, added, removed or swapped with the next to turn one text into another. */
function distance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const same = from[row - 1] === to[column - 1];
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      current.push(
        Math.min(
          (last[column] ?? 0) + 1,
          (current[column - 1] ?? 0) + 1,
          (last[column - 1] ?? 0) + (same ? 0 : 1),
          swapped ? (beforeLast[column - 2] ?? 0) + 1 : Infinity,
        ),
      );
    }
    beforeLast = last;
    last = current;
  }
  return last[to.length] ?? 0;
}

/** The longest name that is compared. */
const longestName = 64;

/** The name among `known` that was probably meant; undefined where none is similar. */
export function closestName(name: string, known: readonly string[]): string | undefined {
  if (name.length > longestName) return undefined;
  const given = plain(name);
  const group = synonyms.find((names) => names.includes(given)) ?? [];
  const same = known.find((other) => plain(other) === given || group.includes(plain(other)));
  if (same !== undefined) return same;
  const most = Math.max(1, Math.floor(given.length / 3));
  const [closest] = known
    .map((other) => ({ other, changes: distance(given, plain(other)) }))
    .filter(({ changes }) => changes <= most)
    .toSorted((a, b) => a.changes - b.changes);
  return closest?.other;
}
