import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { toSandbox } from './python/handles.ts';
import { PythonProcess } from './python/process.ts';
import type { Client, Patch, SandboxHandle } from './client.ts';
import type { Held } from './python/process.ts';

const execute = promisify(execFile);
const root = join(import.meta.dirname, '../../..');
const here = join(import.meta.dirname, 'python');

/** A client in a Python process, with the packages that a lock file names. */
function pythonClient(
  name: Client['name'],
  { surface, lock, source }: { surface: string; lock: string; source?: string },
): Client {
  const process_ = new PythonProcess(async () => {
    const { stdout } = await execute(join(root, 'scripts/python-environment.sh'), [lock]);
    const path = source === undefined ? {} : { PYTHONPATH: source };
    const args = [join(here, 'driver.py'), surface];
    return { command: stdout.trim(), args, env: { ...process.env, ...path } };
  });
  const sandbox = async (call: string, args: object): Promise<SandboxHandle> =>
    toSandbox(process_, (await process_.call({ call, arguments: { ...args } })) as Held);
  return {
    name,
    origin: source === undefined ? 'published' : 'ours',
    create: (options) => sandbox('create', { ...options }),
    connect: (sandboxId, options) => sandbox('connect', { sandboxId, ...options }),
    createFromCheckpoint: (checkpointId, options) =>
      sandbox('createFromCheckpoint', { checkpointId, ...options }),
    async createCheckpointPatch(checkpointId, options) {
      const call = { call: 'createCheckpointPatch', arguments: { checkpointId, ...options } };
      const answer = (await process_.call(call)) as Patch | { patch: Patch };
      return 'patch' in answer ? answer : { patch: answer };
    },
    async listCheckpointPatches(checkpointId, options) {
      const call = { call: 'listCheckpointPatches', arguments: { checkpointId, ...options } };
      return (await process_.call(call)) as Patch[];
    },
    async deleteCheckpointPatch(checkpointId, patchId, options) {
      await process_.call({
        call: 'deleteCheckpointPatch',
        arguments: { checkpointId, patchId, ...options },
      });
    },
    async fork(checkpointId, options) {
      const all = await process_.call({ call: 'fork', arguments: { checkpointId, ...options } });
      return (all as Held[]).map((held) => toSandbox(process_, held));
    },
    stop: () => process_.stop(),
  };
}

const source = join(root, 'sdk-python/src');

export const ourPython = pythonClient('ours-python', {
  surface: 'ours',
  lock: join(here, 'ours.lock'),
  source,
});

/** The form of it that needs no event loop. */
export const ourPythonSync = pythonClient('ours-python-sync', {
  surface: 'ours-sync',
  lock: join(here, 'ours.lock'),
  source,
});

/**
 * The newest client that the registry has for Python, as it is. Its other release line, 0.6, differs in two things
 * alone: it names no version in a header when it creates, and it does not keep the `endAt` of the answer. So that one
 * only has to create and end sandboxes here, and to move files, where the server answers it by its User-Agent.
 */
export const publishedPython = pythonClient('published-python', {
  surface: 'published',
  lock: join(here, 'published.lock'),
});

export const publishedPython06 = pythonClient('published-python-0.6', {
  surface: 'published',
  lock: join(here, 'published-0.6.9.lock'),
});
