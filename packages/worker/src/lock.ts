import { createServer, type Server } from 'node:net';
import { systemErrorCode } from './host/errors.ts';

/**
 * Locks a data directory for this worker. The lock is an abstract unix socket, which the kernel frees when its process
 * ends, however it ends.
 * @throws Error when another worker holds it
 */
export async function takeWorkerLock(instanceTag: string, dataDir: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const text = `another worker runs on ${dataDir}; stop it first, or set OPENCOMPUTER_DATA_DIR to another directory`;
      reject(systemErrorCode(error) === 'EADDRINUSE' ? new Error(text, { cause: error }) : error);
    });
    server.listen(`\0opencomputer-worker-${instanceTag}`, resolve);
  });
  server.unref();
  return server;
}
