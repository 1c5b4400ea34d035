import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs, promisify } from 'node:util';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

interface Suite {
  name: string;
  run: () => Promise<Counts>;
}

const root = join(import.meta.dirname, '..');

/** Runs a program to its end with its output shown. */
function run(program: string, args: readonly string[], cwd = root): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

/** A check that has no tests of its own counts as one. */
function check(name: string, program: string, args: readonly string[], cwd?: string): Suite {
  return {
    name,
    run: async () => {
      const ok = (await run(program, args, cwd)) === 0;
      return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 };
    },
  };
}

function vitest(name: string, args: readonly string[]): Suite {
  return {
    name,
    run: async () => {
      const directory = await mkdtemp(join(tmpdir(), 'opencomputer-test-'));
      const report = join(directory, 'report.json');
      try {
        const code = await run('vitest', [
          'run',
          ...args,
          '--reporter=default',
          '--reporter=json',
          `--outputFile.json=${report}`,
        ]);
        const counts = JSON.parse(await readFile(report, 'utf8')) as Record<string, number>;
        const failed = counts['numFailedTests'] ?? 0;
        return {
          passed: counts['numPassedTests'] ?? 0,
          // A file that cannot be loaded fails the run without a failed test.
          failed: code !== 0 && failed === 0 ? 1 : failed,
          skipped: (counts['numPendingTests'] ?? 0) + (counts['numTodoTests'] ?? 0),
        };
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    },
  };
}

function goTests(): Suite {
  return {
    name: 'agent',
    run: () =>
      new Promise((resolve, reject) => {
        const child = spawn('go', ['test', '-json', './...'], {
          cwd: join(root, 'agent'),
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
        const output = new Map<string, string>();
        createInterface({ input: child.stdout }).on('line', (line) => {
          const event = JSON.parse(line) as { Action: string; Test?: string; Output?: string };
          const test = event.Test ?? '';
          if (event.Action === 'output') output.set(test, (output.get(test) ?? '') + (event.Output ?? ''));
          if (event.Action === 'fail') process.stdout.write(output.get(test) ?? '');
          if (test === '') return;
          if (event.Action === 'pass') counts.passed++;
          else if (event.Action === 'fail') counts.failed++;
          else if (event.Action === 'skip') counts.skipped++;
        });
        child.once('error', reject);
        child.once('close', (code) => {
          if (code !== 0 && counts.failed === 0) counts.failed = 1;
          resolve(counts);
        });
      }),
  };
}

/** Everything that is Python on the host, seen from the client's folder. */
const pythonSources = '. ../tests/conformance/clients/python ../bench/python';

/** Linter, type checker and tests of the Python client, in the environment that its lock file describes. */
function pythonTests(): Suite {
  const folder = join(root, 'sdk-python');
  return {
    name: 'python',
    run: async () => {
      const environment = join(root, 'scripts/python-environment.sh');
      const { stdout } = await promisify(execFile)(environment, [join(folder, 'requirements-dev.lock')]);
      const python = stdout.trim();
      const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
      const ruff = ['ruff check', 'ruff format --check'].map(
        (command) => `${command} --config pyproject.toml ${pythonSources}`,
      );
      for (const check of [...ruff, `basedpyright --pythonpath ${python}`])
        counts[(await run(python, ['-m', ...check.split(' ')], folder)) === 0 ? 'passed' : 'failed']++;
      const directory = await mkdtemp(join(tmpdir(), 'opencomputer-test-'));
      const report = join(directory, 'report.xml');
      try {
        const code = await run(python, ['-m', 'pytest', '-q', `--junitxml=${report}`], folder);
        const head = /<testsuite [^>]*>/.exec(await readFile(report, 'utf8'))?.[0] ?? '';
        const told = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
        const failed = told('failures') + told('errors');
        counts.passed += told('tests') - failed - told('skipped');
        // A run that breaks off fails without a failed test.
        counts.failed += code !== 0 && failed === 0 ? 1 : failed;
        counts.skipped += told('skipped');
        return counts;
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    },
  };
}

const paths = ['packages', 'images', 'tests', 'bench', 'scripts', 'vitest.config.ts'];

/** They measure the memory of the platform, or fill the host: nothing else runs beside them. */
const heavy = ['files-large', 'exec-load', 'live-many', 'python-many'].map(
  (name) => `tests/e2e/${name}.test.ts`,
);

const suites: readonly Suite[] = [
  check('format', 'oxfmt', ['--check', ...paths]),
  check('lint', 'oxlint', ['--type-aware', ...paths]),
  check('types', 'tsc', ['-p', 'tsconfig.json']),
  check('unused', 'knip', []),
  check('generated', 'node', [
    '--conditions=opencomputer-source',
    'scripts/generate-reference.ts',
    '--check',
  ]),
  check('agent format and vet', 'sh', ['-c', 'test -z "$(gofmt -l .)" && go vet ./...'], join(root, 'agent')),
  goTests(),
  vitest('unit', []),
  pythonTests(),
  vitest('conformance', ['--config', 'tests/vitest.config.ts', 'tests/conformance']),
  vitest('e2e', [
    '--config',
    'tests/vitest.config.ts',
    'tests/e2e',
    ...heavy.flatMap((file) => ['--exclude', file]),
  ]),
  vitest('load', ['--config', 'tests/vitest.config.ts', '--no-file-parallelism', ...heavy]),
  vitest('chaos', ['--config', 'tests/vitest.config.ts', 'tests/chaos']),
];

const { values } = parseArgs({ options: { only: { type: 'string' }, list: { type: 'boolean' } } });
const chosen = values.only?.split(',');
const selected = suites.filter(({ name }) => chosen === undefined || chosen.includes(name));
if (values.list === true || selected.length === 0) {
  process.stdout.write(`suites: ${suites.map(({ name }) => name).join(', ')}\n`);
  process.exit(values.list === true ? 0 : 1);
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const summary: string[] = [];
for (const suite of selected) {
  const started = Date.now();
  process.stdout.write(`\n==> ${suite.name}\n`);
  const counts = await suite.run();
  for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += counts[key];
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  summary.push(
    `${suite.name.padEnd(22)} ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped  (${seconds} s)`,
  );
}
process.stdout.write(`\n${summary.join('\n')}\n\n`);
process.stdout.write(
  `${total.passed} passed, ${total.failed} failed${total.skipped === 0 ? '' : `, ${total.skipped} skipped`}\n`,
);
process.exit(total.failed === 0 ? 0 : 1);
