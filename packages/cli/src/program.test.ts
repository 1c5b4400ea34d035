import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commandTree, examplesFor, sampleIds } from './examples.ts';
import { buildProgram } from './program.ts';
import type { Command } from 'commander';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../../..');
const commands = [...commandTree(buildProgram())];

function wordsOf(command: Command): string {
  return command.parent === null ? command.name() : `${wordsOf(command.parent)} ${command.name()}`;
}

describe.each(commands.map((command) => [wordsOf(command), command] as const))('%s', (words, command) => {
  test('says what it does, and has examples of its own', () => {
    expect(command.description()).toMatch(/\.$/);
    if (command.parent !== null) expect(command.summary()).not.toMatch(/\.$|^$/);
    const examples = examplesFor(command);
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) expect(example).toContain(words);
  });
});

describe('examples', () => {
  let folder = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'oc-examples-'));
    // Stands for oc: records its arguments.
    const script = `#!/bin/sh\nfor word; do printf '%s\\0' "$word"; done >> ${folder}/calls\nprintf '\\n' >> ${folder}/calls\necho ${sampleIds.sandbox}\n`;
    await writeFile(join(folder, 'oc'), script);
    await chmod(join(folder, 'oc'), 0o755);
  });

  afterAll(async () => rm(folder, { recursive: true, force: true }));

  test('are understood', async () => {
    const understood: string[] = [];
    const program = buildProgram();
    for (const each of allOf(program))
      if (each.commands.length === 0 || each.registeredArguments.length > 0)
        each.action(() => void understood.push(wordsOf(each)));
    for (const command of commands)
      for (const example of examplesFor(command)) {
        await rm(join(folder, 'calls'), { force: true });
        await run('sh', ['-c', example], {
          cwd: root,
          env: { PATH: `${folder}:${process.env['PATH']}`, HOME: folder },
        });
        const calls = (await readFile(join(folder, 'calls'), 'utf8')).split('\n').slice(0, -1);
        expect(calls, example).not.toHaveLength(0);
        for (const call of calls) {
          if (call.startsWith('help')) continue;
          understood.length = 0;
          await program.parseAsync(call.split('\0').slice(0, -1), { from: 'user' });
          expect(understood, example).toHaveLength(1);
        }
      }
  });
});

function allOf(command: Command): Command[] {
  return [...commandTree(command)].slice(1);
}

describe('usage', () => {
  test.each([
    [['lss'], 'Did you mean ls?'],
    [['sandbox', 'gte', 'sb-1'], 'Did you mean get?'],
    [['create', '--memroy', '5'], 'Did you mean --memory?'],
    [['create', '--timeout', '-1'], 'whole number'],
    [['fork', 'sb-1', '--count', '51'], 'from 1 to 50'],
    [['exec', 'sb-1', 'ls', '-l'], "unknown option '-l'"],
    [['config', 'set', 'key', 'x'], 'Allowed choices are api-key, api-url'],
    [['kill'], "missing required argument 'sandboxes'"],
    [['sandbox', 'get', 'sb-1', 'sb-2'], 'too many arguments'],
  ])('%j is explained', async (argv, explanation) => {
    const program = buildProgram();
    let said = '';
    for (const each of [program, ...allOf(program)])
      each.configureOutput({ writeErr: (text) => (said += text), outputError: (text, write) => write(text) });
    await expect(program.parseAsync(argv, { from: 'user' })).rejects.toMatchObject({ exitCode: 1 });
    expect(said).toContain(explanation);
  });
});

describe('wrong usage', () => {
  async function complaint(...args: string[]): Promise<string> {
    const error = await run(join(root, 'oc'), args).then(
      () => undefined,
      (failure: unknown) => failure as { code: number; stderr: string; stdout: string },
    );
    expect(error).toMatchObject({ code: 1, stdout: '' });
    return error?.stderr ?? '';
  }

  test('is named, with where to look it up', async () => {
    expect(await complaint('exec')).toBe(
      "oc: missing required argument 'sandbox'\n    See `oc exec --help`.\n",
    );
    expect(await complaint('shel')).toBe(
      "oc: unknown command 'shel'\n    (Did you mean shell?)\n    See `oc --help`.\n",
    );
  });

  test('is JSON alone where JSON is asked for, in every command', async () => {
    for (const args of [['shel'], ['exec'], ['checkpoint', 'create', '--nope']])
      expect(JSON.parse(await complaint('--json', ...args))).toMatchObject({ code: 'usage' });
  });
});
