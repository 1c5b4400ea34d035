import { parseArgs } from 'node:util';

export const groups = [
  'start',
  'create',
  'exec',
  'python',
  'files',
  'live',
  'memory',
  'burst',
  'pause',
  'hibernate',
  'fork',
  'checkpoints',
  'image',
  'store',
] as const;
export type Group = (typeof groups)[number];

export interface Options {
  only: readonly Group[];
  /** Rounds of the measures of create; others derive theirs from it. */
  runs: number;
  /** Fewer rounds, no gigabyte, a smaller burst: for development. */
  quick: boolean;
  /** Exit with 1 when a promise is not kept. */
  check: boolean;
  /** Measure although the machine is busy. */
  force: boolean;
}

export const usage = `npm run bench -- [options]

  --only ${groups.join(',')}   measure these alone
  --runs N     rounds of create (default 20)
  --quick      few rounds, no 1 GB files, 10 creates at once
  --check      exit with 1 when a promise is not kept
  --force      measure although the machine is busy
`;

const defaultRuns = 20;
const quickRuns = 6;
const mostRuns = 1000;

function isGroup(name: string): name is Group {
  return (groups as readonly string[]).includes(name);
}

/** Reads the command line. @throws Error that says what is wrong with it */
export function readOptions(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      runs: { type: 'string' },
      quick: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      force: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const named = values.only?.split(',').map((name) => name.trim()) ?? [...groups];
  const only = named.filter(isGroup);
  const unknown = named.find((name) => !isGroup(name));
  if (unknown !== undefined)
    throw new Error(`--only: there is no measure ${JSON.stringify(unknown)}; there are ${groups.join(', ')}`);
  const runs = Number(values.runs ?? (values.quick ? quickRuns : defaultRuns));
  if (!Number.isInteger(runs) || runs < 1 || runs > mostRuns)
    throw new Error(`--runs: expected a whole number from 1 to ${mostRuns}`);
  return { only, runs, quick: values.quick, check: values.check, force: values.force };
}
