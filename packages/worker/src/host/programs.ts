import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

const systemPath = '/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin';

/**
 * Where programs are looked for. Root takes those of the system, not what is on the operator's own search path: npm
 * puts `node_modules/.bin` of every directory above in front of that. `/usr/local` is last: there an administrator
 * puts what the system lacks.
 */
export const programPath = process.getuid?.() === 0 ? systemPath : (process.env['PATH'] ?? systemPath);

/** The path of a program in the directories of a search path such as `PATH`; undefined when none holds it. */
export async function findProgram(name: string, searchPath: string): Promise<string | undefined> {
  for (const directory of searchPath.split(delimiter)) {
    if (directory !== '' && (await isExecutable(join(directory, name)))) return join(directory, name);
  }
  return undefined;
}

/** Whether the path is a regular file that this process may run. */
export async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    // Whatever keeps us from looking at it keeps us from running it too.
    return false;
  }
}

/**
 * The standard output of a short program. Rejects when it cannot be started, fails, takes longer than `timeoutMs`
 * or prints more than 64 KiB.
 */
export function outputOf(program: string, args: readonly string[], timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = {
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      maxBuffer: 64 * 1024,
      encoding: 'utf8',
    } as const;
    execFile(program, args, options, (error, stdout) => {
      if (error === null) resolve(stdout);
      else if (error.killed && error.code === undefined) {
        reject(new Error(`${program} did not answer within ${timeoutMs} ms`, { cause: error }));
      } else reject(error);
    });
  });
}
