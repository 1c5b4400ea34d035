import { once } from 'node:events';
import { chmod, rename, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { basename, dirname, join } from 'node:path';

/** More callers than the worker makes of itself while QEMU is busy. */
const backlog = 16;

/** A unix socket that accepts connections for a program which is yet to be started. */
export interface ListeningSocket extends Disposable {
  /** To hand over. It is closed here by disposing; what has it goes on accepting connections at the same path. */
  readonly fd: number;
}

/**
 * Makes a unix socket that only this user may connect to, in place of what has its name.
 * @param path at most 107 bytes, ending in `.sock`, in a directory that nobody else may write
 */
export async function listen(path: string): Promise<ListeningSocket> {
  // Node removes the name that it gave when it closes the socket: so that is another one.
  const temporary = join(dirname(path), `.${basename(path, '.sock')}`);
  await rm(temporary, { force: true });
  const server = createServer();
  server.listen({ path: temporary, backlog });
  await once(server, 'listening');
  try {
    await chmod(temporary, 0o600);
    await rename(temporary, path);
    return { fd: descriptorOf(server), [Symbol.dispose]: () => void server.close() };
  } catch (error) {
    server.close();
    throw error;
  }
}

/** Node hands over what is connected, but not what listens: only its descriptor can be had. */
function descriptorOf(server: Server): number {
  const { _handle: handle } = server as Server & { _handle?: { fd?: unknown } };
  if (typeof handle?.fd !== 'number' || handle.fd < 0)
    throw new Error('this Node.js tells no descriptor of a socket');
  return handle.fd;
}
