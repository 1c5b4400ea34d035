import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { buildProgram } from '../program.ts';
import { candidates } from './candidates.ts';
import { completionScript, shells } from './scripts.ts';

const ids = (): Promise<{ word: string; meaning: string }[]> =>
  Promise.resolve([{ word: 'sb-1', meaning: 'running' }]);

async function complete(...words: string[]): Promise<string[]> {
  return (await candidates(buildProgram(), words, ids)).map(({ word }) => word);
}

test.each([
  [['cr'], ['create']],
  [['sandbox', 'h'], ['hibernate']],
  [['sandbox', 'get', ''], ['sb-1']],
  [['kill', 'sb-0', 'sb'], ['sb-1']],
  [['sandbox', 'get', 'sb-1', ''], []],
  [
    ['create', '--me'],
    ['--memory', '--metadata'],
  ],
  [['ls', '--status', 'h'], ['hibernated']],
  [['--api-url', 'http://x', 'ev'], ['events']],
  [
    ['exec', ''],
    ['list', 'attach', 'kill', 'sb-1'],
  ],
  [['exec', 'sb-1', '--', 'l'], []],
  [['cp', 'notes.txt', ''], ['sb-1:']],
  [
    ['config', 'set', 'api-'],
    ['api-key', 'api-url'],
  ],
  [['completion', 'z'], ['zsh']],
  [['keys', '--js'], ['--json']],
])('%j', async (words, expected) => {
  expect(await complete(...words)).toEqual(expected);
});

test('nothing hidden is suggested', async () => {
  expect(await complete('')).not.toContain('__complete');
  expect(await complete('checkpoint', 'create', '--pro')).toEqual([]);
});

test('bash understands its script, and completes with it', () => {
  const program = `${completionScript('bash')}
    oc() { printf 'create\\tmake\\n'; }
    compopt() { :; }
    COMP_WORDS=(oc cr) COMP_CWORD=1; _oc; printf '%s' "\${COMPREPLY[@]}"`;
  expect(execFileSync('bash', ['-ec', program], { encoding: 'utf8' })).toBe('create');
  for (const shell of shells) expect(completionScript(shell)).toContain('__complete --');
});
