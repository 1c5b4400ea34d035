import { LocalError } from '../output/errors.ts';
import { packFolder } from './pack.ts';
import { quietly } from './quiet.ts';
import { unpack } from './unpack.ts';
import type { ExecSession, Sandbox } from '@opencomputer/sdk';
import type { Tally } from './tally.ts';

/** Runs as root where that is allowed, like calls about files; the folder is the first argument. */
const asRoot = 'if sudo -n true 2>/dev/null; then set -- sudo -n "$@"; fi; exec "$@"';
/** How much of a failed archiver's error output is shown. */
const mostSaid = 4096;

/** Tar in a sandbox, and how much of its output was lost. */
interface Tar {
  session: ExecSession;
  lost: () => number;
}

async function startTar(sandbox: Sandbox, args: readonly string[]): Promise<Tar> {
  let lost = 0;
  const session = await sandbox.exec.start('sh', {
    args: ['-c', asRoot, 'sh', 'tar', ...args],
    env: { LC_ALL: 'C' },
    ...quietly,
    onGap: (bytes) => {
      lost += bytes;
    },
  });
  return { session, lost: () => lost };
}

/** Copies the content of a local folder into an existing folder of a sandbox. */
export async function uploadFolder(sandbox: Sandbox, from: string, to: string, tally: Tally): Promise<void> {
  const { session } = await startTar(sandbox, [
    '-xpf',
    '-',
    '--numeric-owner',
    '--no-overwrite-dir',
    '-C',
    to,
  ]);
  const said = collectErrors(session);
  try {
    for await (const chunk of packFolder(from, tally)) await session.sendStdin(chunk);
    await session.closeStdin();
  } catch (error) {
    // When tar has ended, its error output is the reason.
    if ((error as { code?: string }).code !== 'session_ended') {
      await session.kill();
      throw error;
    }
  }
  const { exitCode, text } = await said;
  if (exitCode !== 0) throw new LocalError(`the sandbox could not unpack into ${to}: ${text}`);
}

async function collectErrors(session: ExecSession): Promise<{ exitCode: number; text: string }> {
  let text = '';
  for await (const { data } of session) text = (text + Buffer.from(data).toString('utf8')).slice(-mostSaid);
  return { exitCode: await session.done, text: text.trim() };
}

/** Copies the content of a folder of a sandbox into a local folder. */
export async function downloadFolder(
  sandbox: Sandbox,
  from: string,
  to: string,
  tally: Tally,
): Promise<void> {
  const { session, lost } = await startTar(sandbox, ['-cf', '-', '-C', from, '.']);
  await session.closeStdin();
  let said = '';
  async function* archive(): AsyncGenerator<Uint8Array> {
    for await (const { stream, data } of session)
      if (lost() > 0) throw new RangeError(`${lost()} bytes were lost on the way`);
      else if (stream === 'stdout') yield data;
      else said = (said + Buffer.from(data).toString('utf8')).slice(-mostSaid);
  }
  try {
    await unpack(archive(), to, tally);
  } catch (error) {
    await session.kill();
    if (error instanceof RangeError)
      throw new LocalError(`the sandbox did not send all of ${from}: ${said.trim() || error.message}`, {
        cause: error,
      });
    throw error;
  }
  const exitCode = await session.done;
  if (exitCode !== 0) throw new LocalError(`the sandbox could not read all of ${from}: ${said.trim()}`);
}
