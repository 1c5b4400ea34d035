import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { GuestProxy } from '@opencomputer/worker/egress';
import { serverUid } from '@opencomputer/worker/uids';

/** What the launcher itself needs; worker and server read the rest of the environment on their own. */
export interface StandaloneConfig {
  dataDir: string;
  cacheDir: string;
  /** `host:port`. */
  listen: string;
  /** User and group, by number, that the server becomes when the launcher is root. */
  serverUser: number | undefined;
  /** PEM file of certificates that guests trust beside their own. */
  guestCertificates: string | undefined;
  /** The proxy that guests are told of. */
  guestProxy: GuestProxy;
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Reads the configuration; an empty variable counts as absent. */
export function readConfig(environment: NodeJS.ProcessEnv): StandaloneConfig {
  const given = (name: string): string | undefined => environment[name] || undefined;
  const fallback = isRoot() ? '/var/lib/opencomputer' : join(homedir(), '.local/share/opencomputer');
  const dataDir = resolve(given('OPENCOMPUTER_DATA_DIR') ?? fallback);
  return {
    dataDir,
    cacheDir: resolve(given('OPENCOMPUTER_CACHE_DIR') ?? join(dataDir, 'cache')),
    listen: given('OPENCOMPUTER_LISTEN') ?? '127.0.0.1:8080',
    serverUser: isRoot() ? serverUid : undefined,
    guestCertificates: given('OPENCOMPUTER_GUEST_CA_CERTIFICATES'),
    guestProxy: {
      OPENCOMPUTER_GUEST_HTTP_PROXY: given('OPENCOMPUTER_GUEST_HTTP_PROXY'),
      OPENCOMPUTER_GUEST_HTTPS_PROXY: given('OPENCOMPUTER_GUEST_HTTPS_PROXY'),
      OPENCOMPUTER_GUEST_NO_PROXY: given('OPENCOMPUTER_GUEST_NO_PROXY'),
    },
  };
}

/** Files of the launcher below the data directory. */
export function launcherFiles(dataDir: string) {
  return {
    pid: join(dataDir, 'opencomputer.pid'),
    log: join(dataDir, 'opencomputer.log'),
    apiKey: join(dataDir, 'api-key'),
    guestCertificates: join(dataDir, 'guest-certificates.pem'),
  };
}
