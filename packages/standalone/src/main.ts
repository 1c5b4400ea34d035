import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureImages } from '@opencomputer/images';
import { progressPrinter } from '@opencomputer/images/progress';
import { readEgress } from '@opencomputer/worker/egress';
import { launcherFiles, readConfig } from './config.ts';
import { prepareDataDirectory } from './data-directory.ts';
import { environmentOf } from './environment.ts';
import { keepGuestCertificates } from './guest-certificates.ts';
import { takePlatformLock } from './lock.ts';
import { readPidFile, removePidFile, writePidFile } from './pid-file.ts';
import { prepareServerFiles } from './server-files.ts';
import { Supervisor } from './supervise.ts';

const stopMs = 15_000;

function say(text: string): void {
  process.stderr.write(`opencomputer: ${text}\n`);
}

// Output that fails, because the log's disk is full or the terminal is gone, must not end the platform.
process.stderr.on('error', () => undefined);

function modulePath(name: string): string {
  return fileURLToPath(import.meta.resolve(name));
}

/**
 * Starts a program as root with very few rights: to open a port, to read the program and to become another user. No
 * program that it starts can get further rights back.
 */
const asLittleRoot = [
  '/usr/bin/setpriv',
  ...['--no-new-privs', '--bounding-set=-all,+setuid,+setgid,+net_bind_service,+dac_read_search'],
  ...['--inh-caps=-all', '--'],
] as const;

/** Runs the platform of one host in the foreground: the images are built first where they are missing. */
async function main(): Promise<void> {
  const config = readConfig(process.env);
  const files = launcherFiles(config.dataDir);
  // Settings that cannot be used are reported now, before anything is changed.
  await readEgress(config.guestCertificates, config.guestProxy);
  await prepareDataDirectory(config.dataDir, config.serverUser);
  if (!(await takePlatformLock(config.dataDir))) {
    const other = readPidFile(files.pid);
    const named = other === undefined ? '' : ` (process ${other.pid})`;
    throw new Error(
      `it runs already on ${config.dataDir}${named}; stop it with "npm stop", or set OPENCOMPUTER_DATA_DIR to another directory`,
    );
  }
  await writePidFile(files.pid);
  const certificates = await keepGuestCertificates(config.guestCertificates, files.guestCertificates);
  if (config.serverUser !== undefined) await prepareServerFiles(config.dataDir, config.serverUser);
  const images = await ensureImages({
    cacheDir: config.cacheDir,
    onProgress: progressPrinter(process.stderr),
  });

  const user = config.serverUser === undefined ? undefined : `${config.serverUser}:${config.serverUser}`;
  const directories = {
    OPENCOMPUTER_DATA_DIR: config.dataDir,
    OPENCOMPUTER_CACHE_DIR: config.cacheDir,
  };
  const worker = new Supervisor(
    {
      name: 'worker',
      module: modulePath('@opencomputer/worker/main'),
      env: environmentOf('worker', process.env, {
        ...directories,
        ...certificates,
        OPENCOMPUTER_BOOT_IMAGE: images.dir,
        OPENCOMPUTER_ROOTFS_IMAGE: dirname(images.rootfs),
        OPENCOMPUTER_JAILER: images.jailer,
        ...(user === undefined ? {} : { OPENCOMPUTER_SOCKET_OWNER: user }),
      }),
    },
    say,
  );
  const server = new Supervisor(
    {
      name: 'server',
      module: modulePath('@opencomputer/server/main'),
      env: environmentOf('server', process.env, {
        ...directories,
        ...(user === undefined ? {} : { OPENCOMPUTER_RUN_AS: user }),
      }),
      through: user === undefined ? undefined : asLittleRoot,
    },
    say,
  );
  say(
    `images ${basename(images.dir)}; data in ${config.dataDir}; listening on http://${config.address} in a moment`,
  );

  const stop = async (): Promise<void> => {
    await Promise.all([server.stop(stopMs), worker.stop(stopMs)]);
    await removePidFile(files.pid);
  };
  let told = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (told) return;
      told = true;
      say('stopping; sandboxes go on running');
      void stop().then(() => process.exit(0));
    });
  try {
    await Promise.race([worker.run(), server.run()]);
    await stop();
  } catch (error) {
    await stop();
    throw error;
  }
}

try {
  await main();
} catch (error) {
  const { message, hint } = error as Error & { hint?: string };
  say(message);
  if (hint !== undefined) say(hint);
  process.exit(1);
}
