import { createHash } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Locks a data directory for this platform as long as this process lives. The lock is an abstract unix socket, which
 * the kernel frees when its process ends, however it ends.
 * @returns false when another platform holds it
 */
export async function takePlatformLock(dataDir: string): Promise<boolean> {
  const tag = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  const server = createServer((socket) => socket.destroy());
  const taken = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    );
    server.listen(`\0opencomputer-platform-${tag}`, () => resolve(true));
  });
  server.unref();
  return taken;
}
