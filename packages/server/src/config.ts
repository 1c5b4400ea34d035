import { join } from 'node:path';
import {
  dataDirectory,
  type Environment,
  readSettings,
  type SettingsOf,
  workerSocket,
} from '@opencomputer/process/configuration';
import type { SnapshotKind } from '@opencomputer/protocol';
import type { User } from './privileges.ts';

export interface ServerConfig {
  readonly listen: { readonly host: string; readonly port: number };
  readonly dataDirectory: string;
  /** Address of a PostgreSQL database, perhaps with its password; absent: SQLite in the data directory. */
  readonly databaseUrl?: string | undefined;
  /** A key that is valid from the start; absent: one is generated when there is none. */
  readonly apiKey?: string | undefined;
  /** The sockets of the workers' APIs. */
  readonly workerSockets: readonly string[];
  /** Live sandboxes that one owner may have. */
  readonly maxSandboxes: number;
  /** Hibernated sandboxes that one owner may have. */
  readonly maxHibernated: number;
  /** Checkpoints that one sandbox may have, by kind. */
  readonly maxCheckpoints: Readonly<Record<SnapshotKind, number>>;
  readonly maxCpu: number;
  readonly maxMemoryMB: number;
  /** Scheme and host that clients reach the server under; absent: what they say in their requests. */
  readonly publicUrl?: string | undefined;
  /** Program of agent sessions. */
  readonly agentCommand: string;
  readonly sandboxDomain: string;
  readonly region: string;
  readonly logLevel: SettingsOf<'server'>['OPENCOMPUTER_LOG_LEVEL'];
  /** Whom to become once the port is open, when started as root. */
  readonly runAs?: User | undefined;
}

/**
 * Reads the configuration from environment variables. A variable that is set to nothing counts as absent.
 * @throws Error that names the variable and says what would be right.
 */
export function loadConfig(environment: Environment): ServerConfig {
  const env = readSettings('server', environment);
  return {
    listen: env.OPENCOMPUTER_LISTEN,
    dataDirectory: dataDirectory(env),
    databaseUrl: env.OPENCOMPUTER_DATABASE_URL,
    apiKey: env.OPENCOMPUTER_API_KEY,
    workerSockets: [workerSocket(env)],
    maxSandboxes: env.OPENCOMPUTER_MAX_SANDBOXES,
    maxHibernated: env.OPENCOMPUTER_MAX_HIBERNATED,
    maxCheckpoints: {
      full: env.OPENCOMPUTER_MAX_CHECKPOINTS_FULL,
      disk_only: env.OPENCOMPUTER_MAX_CHECKPOINTS_DISK_ONLY,
    },
    maxCpu: env.OPENCOMPUTER_MAX_CPU,
    maxMemoryMB: env.OPENCOMPUTER_MAX_MEMORY_MB,
    publicUrl: env.OPENCOMPUTER_PUBLIC_URL,
    agentCommand: env.OPENCOMPUTER_AGENT_COMMAND,
    sandboxDomain: env.OPENCOMPUTER_SANDBOX_DOMAIN ?? '',
    region: env.OPENCOMPUTER_REGION,
    logLevel: env.OPENCOMPUTER_LOG_LEVEL,
    runAs: env.OPENCOMPUTER_RUN_AS,
  };
}

/** Files of the server below its data directory. */
export function dataFiles(dataDirectory: string) {
  const directory = join(dataDirectory, 'server');
  return {
    directory,
    database: join(directory, 'opencomputer.db'),
    lock: join(directory, 'server.lock'),
    apiKey: join(dataDirectory, 'api-key'),
  };
}
