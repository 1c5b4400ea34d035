import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';

const directory = mkdtempSync(join(tmpdir(), 'oc-commit-msg-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** What the hook says against a message; empty when it takes it. */
function refusal(message: string): string {
  const file = join(directory, 'COMMIT_EDITMSG');
  writeFileSync(file, message);
  const { status, stderr } = spawnSync(join(import.meta.dirname, 'commit-msg'), [file], { encoding: 'utf8' });
  expect(stderr === '').toBe(status === 0);
  return stderr;
}

const longest = 'ü'.repeat(72);

test.each([
  longest,
  `${longest}\n`,
  `${longest}\n\nWhy it is so, at any length: ${'x'.repeat(100)}\n`,
  `# a comment\n${longest}\n# another one, right below\n`,
  `${longest}\n# ------------------------ >8 ------------------------\ndiff --git a/x b/x\n`,
  `Merge branch '${'x'.repeat(72)}'`,
])('a subject of at most 72 characters is taken: %j', (message) => {
  expect(refusal(message)).toBe('');
});

test('a longer one is refused, with its length', () => {
  expect(refusal(`${longest}x\n\nWhy.\n`)).toContain('has 73 characters, at most 72 are allowed');
});

test('a body that is not set off from it is refused', () => {
  expect(refusal('Subject\nbody\n')).toContain('an empty line is due after the subject, not: body');
});
