import { join } from 'node:path';
import {
  cacheDirectory,
  dataDirectory,
  type Environment,
  readSettings,
} from '@opencomputer/process/configuration';
import type { GuestProxy } from '@opencomputer/worker/egress';
import { serverUid } from '@opencomputer/worker/uids';

/** The settings of the launcher itself; worker and server read their own. */
export interface StandaloneConfig {
  dataDir: string;
  cacheDir: string;
  listen: { host: string; port: number };
  /** The same as `host:port`. */
  address: string;
  /** User and group, by number, that the server becomes when the launcher is root. */
  serverUser: number | undefined;
  /** PEM file of certificates that guests trust in addition to their own. */
  guestCertificates: string | undefined;
  /** The proxy that guests use. */
  guestProxy: GuestProxy;
}

/** Reads the configuration; an empty variable counts as absent. @throws Error that names the variable that is wrong */
export function readConfig(environment: Environment): StandaloneConfig {
  const values = readSettings('launcher', environment);
  const { host, port } = values.OPENCOMPUTER_LISTEN;
  return {
    dataDir: dataDirectory(values),
    cacheDir: cacheDirectory(values),
    listen: values.OPENCOMPUTER_LISTEN,
    address: `${host.includes(':') ? `[${host}]` : host}:${port}`,
    serverUser: process.getuid?.() === 0 ? serverUid : undefined,
    guestCertificates: values.OPENCOMPUTER_GUEST_CA_CERTIFICATES,
    guestProxy: {
      OPENCOMPUTER_GUEST_HTTP_PROXY: values.OPENCOMPUTER_GUEST_HTTP_PROXY,
      OPENCOMPUTER_GUEST_HTTPS_PROXY: values.OPENCOMPUTER_GUEST_HTTPS_PROXY,
      OPENCOMPUTER_GUEST_NO_PROXY: values.OPENCOMPUTER_GUEST_NO_PROXY,
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
