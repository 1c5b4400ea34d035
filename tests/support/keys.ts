import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const command = join(import.meta.dirname, '../../packages/server/src/commands/keys.ts');

/** Makes a further key, as an operator would. */
export async function addKey(dataDir: string, name: string, owner: string): Promise<string> {
  const { stdout } = await execute(process.execPath, [command, 'add', name, '--owner', owner], {
    env: { ...process.env, OPENCOMPUTER_DATA_DIR: dataDir },
  });
  const key = /osb_[0-9a-f]{64}/.exec(stdout)?.[0];
  if (key === undefined) throw new Error(`the command printed no key: ${stdout}`);
  return key;
}
