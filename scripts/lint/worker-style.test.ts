import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../test-runners/process.ts';

/** What the lint cannot find in the worker, with what to write instead and a line that must be found. */
const refused = [
  {
    what: 'a cast to ErrnoException: ask systemErrorCode() of host/errors.ts for the code',
    pattern: /NodeJS\.ErrnoException/,
    example: "if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;",
  },
  {
    what: 'a constant in capitals: constants are in camel case like other names',
    pattern: /\bconst [A-Z][A-Z0-9_]+\b/,
    example: 'const RETRY_MS = 5000;',
  },
  {
    what: 'prose about what is thrown: use @throws',
    pattern: /^\s*(\/\*\*|\*|\/\/).*\bThrows\b/,
    example: ' * The parent is made. Throws the error of the system.',
  },
  {
    what: 'an object type with an alias: use an interface',
    pattern: /^\s*(export )?type \w+ = \{(?! ?\[)(?!.*\}.*[|&])/,
    example: 'type Rule = { chain: string; args: string[] };',
  },
] as const;

const folder = join(root, 'packages/worker/src');

describe('the worker is written in one hand:', () => {
  test.each(refused)('$what', ({ pattern, example }) => {
    expect(example).toMatch(pattern);
    const found: string[] = [];
    for (const file of globSync('**/*.ts', { cwd: folder })) {
      const lines = readFileSync(join(folder, file), 'utf8').split('\n');
      for (const [at, line] of lines.entries())
        if (pattern.test(line)) found.push(`${file}:${at + 1} ${line}`);
    }
    expect(found).toEqual([]);
  });
});
