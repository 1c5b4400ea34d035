import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { LocalError } from '../output/errors.ts';

/** The members of `~/.oc/config.json`. Others are kept as they are. */
export interface ConfigFile {
  api_url?: string;
  api_key?: string;
}

/** No valid file is longer. */
const maxBytes = 64 * 1024;

export function configPath(): string {
  return join(homedir(), '.oc', 'config.json');
}

/** Reads the file; an absent one is empty. @throws LocalError when it cannot be understood */
export async function readConfigFile(path = configPath()): Promise<ConfigFile> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
  const broken = (why: string): LocalError =>
    new LocalError(`${path} ${why}`, { hint: 'Correct it, or delete it and use `oc config set` again.' });
  if (text.length > maxBytes) throw broken('is far too large for a configuration');
  const value = parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw broken('is no JSON object');
  for (const name of ['api_url', 'api_key'] as const) {
    const member = (value as Record<string, unknown>)[name];
    if (member !== undefined && typeof member !== 'string') throw broken(`holds an ${name} that is no text`);
  }
  return value;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Writes `changes` into the file, in one step: it has the old content or the new, and only its owner can read it. */
export async function updateConfigFile(changes: ConfigFile, path = configPath()): Promise<void> {
  const content = { ...(await readConfigFile(path)), ...changes };
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(content, undefined, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    // The umask may have removed more permissions.
    await chmod(draft, 0o600);
    await rename(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
}
