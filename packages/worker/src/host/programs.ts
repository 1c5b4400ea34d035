import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

const systemPath = '/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin';

/**
 * Where programs are looked for. As root only in the system's directories, not in the operator's search path: npm puts
 * `node_modules/.bin` of every parent directory in front of that. `/usr/local` is last, for programs that the system
 * lacks.
 */
export const programPath = process.getuid?.() === 0 ? systemPath : (process.env['PATH'] ?? systemPath);

/** The path of a program in the directories of a search path such as `PATH`; undefined when it is in none. */
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
    // If we cannot even look at the file, we cannot run it either.
    return false;
  }
}

/**
 * Runs a short program. @returns its standard output @throws Error when it cannot be started, fails, takes longer than
 * `timeoutMs` or prints more than 64 KiB
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
