import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestSandbox } from '../support/api.ts';
import { Oc } from '../support/oc.ts';
import { secondApi } from '../support/shared.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');

/** Their effects are on the platform of the host, or they need a terminal; they are parsed by a unit test. */
const notHere = /^oc (up|down|doctor|keys revoke|shell(?! list)|help)\b|^cat key.txt/;

interface Sample {
  example: string;
}

/** Examples of all commands, from the sources of `oc`. */
async function samples(): Promise<{ ids: Record<string, string>; list: Sample[] }> {
  const program = `
    import { buildProgram } from '${root}/packages/cli/src/program.ts';
    import { commandTree, examplesFor, sampleIds } from '${root}/packages/cli/src/examples.ts';
    const list = [...commandTree(buildProgram())].flatMap((command) =>
      examplesFor(command).map((example) => ({ example })));
    console.log(JSON.stringify({ ids: sampleIds, list }));`;
  const flags = ['--conditions=opencomputer-source', '--input-type=module', '-e', program];
  const { stdout } = await run(process.execPath, flags);
  return JSON.parse(stdout) as { ids: Record<string, string>; list: Sample[] };
}

describe('examples of the help', async () => {
  const { ids, list } = await samples();
  let oc: Oc;
  beforeAll(async () => {
    // Some examples, and the end, reach for everything that the key has.
    oc = await Oc.make('secondKey');
    await writeFile(join(oc.home, 'key.txt'), 'osb_example');
  });
  afterAll(async () => {
    for (const { sandboxID } of await secondApi().list()) await secondApi().sandbox(sandboxID).delete();
    await oc.remove();
  });

  const wanted = [...new Set(list.map(({ example }) => example))].filter((example) => !notHere.test(example));
  const made = async (what: string): Promise<string> => (await oc.shell(what)).stdout.toString().trim();
  /** One that examples share until one of them ends it, or saves it. */
  let shared: TestSandbox | undefined;
  let samplesMade = 0;
  async function runningSandbox(): Promise<TestSandbox> {
    const status = (await shared?.info())?.status;
    return status === 'running' && shared !== undefined ? shared : (shared = await secondApi().create({}));
  }

  test.each(wanted)('%s', async (example) => {
    let line = example;
    const { id: sandbox } = await runningSandbox();
    line = line.replaceAll(ids['sandbox'] ?? '', sandbox);
    if (line.includes(ids['checkpoint'] ?? '-')) {
      const checkpoint = await made(`oc checkpoint create ${sandbox} --name sample-${++samplesMade}`);
      line = line.replaceAll(ids['checkpoint'] ?? '', checkpoint);
      if (line.includes(ids['patch'] ?? '-'))
        line = line.replaceAll(
          ids['patch'] ?? '',
          await made(`echo true | oc patch create ${checkpoint} --script -`),
        );
    }
    if (line.includes(ids['session'] ?? '-'))
      line = line.replaceAll(ids['session'] ?? '', await made(`oc exec ${sandbox} --detach -- sleep 2`));
    if (line.includes('wake') || line.includes('status hibernated'))
      await made(`oc sandbox hibernate ${sandbox}`);
    if (line.endsWith('hello.txt -')) await made(`oc exec ${sandbox} -- touch hello.txt`);
    const { exitCode, stdout, stderr } = await oc.shell(line, root);
    expect([exitCode, stderr.replaceAll(/^its output: .*\n/g, '')], `${line}\n${stdout.toString()}`).toEqual([
      0,
      '',
    ]);
  });
});
