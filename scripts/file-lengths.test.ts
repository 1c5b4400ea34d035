import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { goLines, linesMax, pythonLines } from './file-lengths.ts';
import { root } from './test-runners/process.ts';

const generated = 'sdk-python/src/opencomputer/sync/';

function sources(extension: string): string[] {
  return globSync(`{agent,jailer,packages,sdk-python,tests,bench,scripts}/**/*.${extension}`, {
    cwd: root,
    exclude: (name) => name === 'node_modules' || name === '.venv' || name === 'dist',
  }).filter((file) => !file.startsWith(generated));
}

describe('lines of code are counted', () => {
  test('in Go, without comments', () => {
    expect(goLines('// a\n\npackage main\n\n/* b\nc */\nvar x = 1 // d\n')).toBe(2);
  });

  test('in Python, without comments and descriptions', () => {
    const text =
      '"""About.\n\nMore.\n"""\n\n# why\ndef f():\n    """One line."""\n    x = """\n    text\n    """\n';
    expect(pythonLines(text)).toBe(4);
  });
});

// What is written in TypeScript is counted by the lint.
test.each([
  ['go', goLines, /_test\.go$/],
  ['py', pythonLines, /(^|\/)tests\//],
] as const)('no source in .%s is too long', (extension, count, isTest) => {
  const files = sources(extension);
  expect(files.length).toBeGreaterThan(30);
  const long = files
    .map((file) => ({ file, lines: count(readFileSync(join(root, file), 'utf8')) }))
    .filter(({ file, lines }) => lines > (isTest.test(file) ? linesMax.tests : linesMax[extension]));
  expect(long).toEqual([]);
});
