import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runGoTests } from './test-runners/go.ts';
import { describeOutcome, describeSlowest, type Outcome } from './test-runners/outcome.ts';
import { root, runCheck } from './test-runners/process.ts';
import { runPython } from './test-runners/python.ts';
import { runVitest } from './test-runners/vitest.ts';

const paths = ['packages', 'tests', 'bench', 'scripts', 'vitest.config.ts'];
const agent = join(root, 'agent');
const jailer = join(root, 'jailer');
/** A part of the agent that tests put in place of another, seen from the agent. */
const lyingAgent = '../tests/support/lying-agent';

/** They measure the memory of the platform, or fill the host: nothing else runs beside them. */
const heavy = ['files-large', 'exec-load', 'many-sandboxes'].map((name) => `tests/e2e/${name}.test.ts`);
const machines = (...args: readonly string[]): Promise<Outcome> =>
  runVitest(['--config', 'tests/vitest.config.ts', ...args]);

const suites: Readonly<Record<string, () => Promise<Outcome>>> = {
  format: () => runCheck('oxfmt', ['--check', ...paths]),
  lint: () => runCheck('oxlint', ['--type-aware', ...paths]),
  types: () => runCheck('tsc', ['-p', 'tsconfig.json']),
  unused: () => runCheck('knip', []),
  generated: () =>
    runCheck('node', ['--conditions=opencomputer-source', 'scripts/generate-reference.ts', '--check']),
  'agent format and vet': () =>
    runCheck(
      'sh',
      [
        '-c',
        `test -z "$(gofmt -l . ${lyingAgent})" && go vet ./... && go vet -overlay ${lyingAgent}/overlay.json ./internal/files`,
      ],
      agent,
    ),
  'jailer format and vet': () => runCheck('sh', ['-c', 'test -z "$(gofmt -l .)" && go vet ./...'], jailer),
  agent: () => runGoTests(agent),
  unit: () => runVitest([]),
  python: () => runPython(),
  conformance: () => machines('tests/conformance'),
  e2e: () => machines('tests/e2e', ...heavy.flatMap((file) => ['--exclude', file])),
  load: () => machines('--no-file-parallelism', ...heavy),
  chaos: () => machines('tests/chaos'),
};

// Most of what the suites start are programs of ours in TypeScript, which Node.js compiles anew each time otherwise.
process.env['NODE_COMPILE_CACHE'] ??= join(root, 'node_modules/.cache/node');

const { values } = parseArgs({ options: { only: { type: 'string' }, list: { type: 'boolean' } } });
const chosen = values.only?.split(',') ?? Object.keys(suites);
const unknown = chosen.filter((name) => suites[name] === undefined);
if (values.list === true || unknown.length > 0) {
  for (const name of unknown) process.stderr.write(`there is no suite '${name}'\n`);
  process.stdout.write(`suites: ${Object.keys(suites).join(', ')}\n`);
  process.exit(unknown.length === 0 ? 0 : 1);
}

const total = { passed: 0, failed: 0, skipped: 0 };
const summary: string[] = [];
const troubles: string[] = [];
const outcomes: Outcome[] = [];
for (const [name, runSuite] of Object.entries(suites)) {
  if (!chosen.includes(name)) continue;
  const started = Date.now();
  process.stdout.write(`\n==> ${name}\n`);
  const outcome = await runSuite();
  outcomes.push(outcome);
  const failed = outcome.failures.length;
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  total.passed += outcome.passed;
  total.failed += failed;
  total.skipped += outcome.skipped;
  summary.push(
    `${name.padEnd(22)} ${outcome.passed} passed, ${failed} failed, ${outcome.skipped} skipped  (${seconds} s)`,
  );
  const trouble = describeOutcome(name, outcome);
  if (trouble !== '') troubles.push(trouble);
}
const slowest = describeSlowest(outcomes, 10);
if (slowest !== '') process.stdout.write(`\nThe slowest files:\n${slowest}\n`);
// What failed stands at the end: of a long log, the end is what one sees first.
process.stdout.write(`\n${[...troubles, summary.join('\n')].join('\n')}\n\n`);
process.stdout.write(
  `${total.passed} passed, ${total.failed} failed${total.skipped === 0 ? '' : `, ${total.skipped} skipped`}\n`,
);
process.exit(total.failed === 0 ? 0 : 1);
