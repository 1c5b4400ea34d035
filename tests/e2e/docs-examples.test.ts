import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { Api } from '../support/api.ts';
import { addKey } from '../support/keys.ts';
import { outcomeOf } from '../support/oc.ts';
import { programOf, python } from '../support/python.ts';

const root = join(import.meta.dirname, '../..');

type Language = 'js' | 'sh' | 'python';

interface Example {
  /** File and line. */
  at: string;
  language: Language;
  text: string;
}

/** Programs that are whole: they bring the client with them, or need none. Samples in Python are made whole. */
function examplesOf(file: string): Example[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/```(js|sh|python)\n([\s\S]*?)```/g)]
    .map((match) => ({
      at: `${relative(root, file)}:${text.slice(0, match.index).split('\n').length}`,
      language: match[1] as Language,
      text: match[2] ?? '',
    }))
    .filter(({ language, text: program }) =>
      language === 'js'
        ? /^import .* from ["']@opencomputer\/sdk["'];$/m.test(program)
        : language === 'python' || program.includes('$OPENCOMPUTER_API_URL'),
    )
    .filter(({ text: program }) => !program.includes('ANTHROPIC_API_KEY')); // needs a model
}

const guides = join(root, 'docs/guides');
const examples = [
  join(root, 'README.md'),
  join(root, 'sdk-python/README.md'),
  ...readdirSync(guides)
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(guides, name)),
].flatMap(examplesOf);

describe('programs of the guides run as they are printed', () => {
  const { url, dataDir } = inject('platform');
  let key: string;
  let directory: string;

  beforeAll(async () => {
    // Some of them reach for every sandbox of their key.
    key = await addKey(dataDir, 'guides', 'guides-owner');
    directory = await mkdtemp(join(tmpdir(), 'oc-guides-'));
    await symlink(join(root, 'node_modules'), join(directory, 'node_modules'));
  });
  afterAll(async () => {
    const api = new Api(url, key);
    for (const { sandboxID } of await api.list()) await api.sandbox(sandboxID).delete();
    await rm(directory, { recursive: true });
  });

  test('there are such programs in each language', () => {
    expect(new Set(examples.map(({ language }) => language))).toEqual(new Set(['js', 'sh', 'python']));
  });

  test.each(examples)('$at $language', async ({ language, text }) => {
    const file = join(directory, { js: 'example.mjs', sh: 'example.sh', python: 'example.py' }[language]);
    await writeFile(file, language === 'python' ? programOf(text) : text);
    const interpreter = await python();
    const commands: Record<Language, [string, ...string[]]> = {
      js: [process.execPath],
      sh: ['bash', '--norc', '-euo', 'pipefail'],
      // Samples leave sandboxes open that have been killed.
      python: [interpreter.command, '-W', 'error', '-W', 'ignore::ResourceWarning'],
    };
    const [program, ...args] = commands[language];
    const settings = { OPENCOMPUTER_API_URL: url, OPENCOMPUTER_API_KEY: key };
    const child = spawn(program, [...args, file], {
      cwd: directory,
      env: { PATH: process.env['PATH'], ...interpreter.env, ...settings },
    });
    const { exitCode, stdout, stderr } = await outcomeOf(child);
    expect([exitCode, stderr], stdout.toString()).toEqual([0, '']);
    // curl ends well also where the server refuses.
    expect(stdout.toString()).not.toMatch(/"error":\s*["{]/);
  });
});
