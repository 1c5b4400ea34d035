import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Failure, Outcome } from './outcome.ts';
import { root, run, runCheck, withDirectory } from './process.ts';

const execute = promisify(execFile);

/** Everything that is Python on the host, seen from the client's folder. */
const sources = ['.', '../tests/conformance/clients/python', '../bench/python', '../scripts'];

async function runPytest(python: string, folder: string): Promise<Outcome> {
  return withDirectory(async (directory) => {
    const report = join(directory, 'report.xml');
    const code = await run(python, ['-m', 'pytest', '-q', `--junitxml=${report}`], folder);
    const reader = join(import.meta.dirname, 'read_junit.py');
    const { stdout } = await execute(python, [reader, report], { maxBuffer: 64 * 1024 * 1024 });
    const outcome = JSON.parse(stdout) as Outcome;
    if (code === 0 || outcome.failures.length > 0) return outcome;
    const brokenOff: Failure = { name: 'pytest', message: `exited with ${code} though no test failed` };
    return { ...outcome, failures: [brokenOff] };
  });
}

/** Linter, type checker and tests of the Python client, in the environment that its lock file describes. */
export async function runPython(): Promise<Outcome> {
  const folder = join(root, 'sdk-python');
  const { stdout } = await execute(join(root, 'scripts/python-environment.sh'), [
    join(folder, 'requirements-dev.lock'),
  ]);
  const python = stdout.trim();
  const configured = ['--config', 'pyproject.toml', ...sources];
  const parts = [
    await runCheck(python, ['-m', 'ruff', 'check', ...configured], folder),
    await runCheck(python, ['-m', 'ruff', 'format', '--check', ...configured], folder),
    await runCheck(python, ['-m', 'basedpyright', '--pythonpath', python], folder),
    await runPytest(python, folder),
  ];
  const sum = (of: (part: Outcome) => number): number => parts.reduce((total, part) => total + of(part), 0);
  return {
    passed: sum((part) => part.passed),
    skipped: sum((part) => part.skipped),
    failures: parts.flatMap((part) => part.failures),
  };
}
