import { globSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { expect, test } from 'vitest';
import { root } from './process.ts';
import { testsThatReach } from './reach.ts';

const server = join(root, 'packages/server/src');

test('finds the tests that reach a module, directly or by way of others, and no others', () => {
  const found = testsThatReach(server, 'testing/database.ts').map((file) => relative(server, file));
  // By itself, through the test server, and through the client of that.
  for (const file of ['store/migration.test.ts', 'api/exec.test.ts', 'sessions/terminals.test.ts'])
    expect(found).toContain(file);
  for (const file of ['config.test.ts', 'sandboxes/idle-clock.test.ts', 'sessions/input.test.ts'])
    expect(found).not.toContain(file);
});

test('refuses a module that is not there', () => {
  expect(() => testsThatReach(server, 'testing/elsewhere.ts')).toThrow('imports testing/elsewhere.ts');
});

test('the address of PostgreSQL is known to one module, which is what tests are chosen by', () => {
  const users = globSync('**/*.ts', { cwd: server }).filter((file) =>
    /\binject\(/.test(readFileSync(join(server, file), 'utf8')),
  );
  expect(users).toEqual(['testing/database.ts']);
});
