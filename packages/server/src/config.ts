import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { describeIssues, limits, type SnapshotKind } from '@opencomputer/protocol';
import type { User } from './privileges.ts';

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** `host:port` or `[ipv6]:port`. */
const listenSchema = z.string().transform((text, context) => {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:\s[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) {
    context.addIssue({ code: 'custom', message: 'expected host:port, such as 127.0.0.1:8080 or [::1]:8080' });
    return z.NEVER;
  }
  return { host: match[1] ?? match[2] ?? '', port };
});

/** Scheme and host, without anything after them. */
const publicUrlSchema = z.string().transform((text, context) => {
  const url = URL.parse(text);
  const plain = url !== null && url.pathname === '/' && url.search === '' && url.hash === '' && !url.username;
  if (plain && (url.protocol === 'http:' || url.protocol === 'https:')) return url.origin;
  context.addIssue({
    code: 'custom',
    message: 'expected scheme and host, such as https://computers.example',
  });
  return z.NEVER;
});

const runAsSchema = z.string().transform((text, context) => {
  const match = /^(\d{1,9}):(\d{1,9})$/.exec(text);
  if (match === null || Number(match[1]) === 0) {
    context.addIssue({ code: 'custom', message: 'expected uid:gid in numbers, not root, such as 990:990' });
    return z.NEVER;
  }
  return { uid: Number(match[1]), gid: Number(match[2]) };
});

const integer = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, `expected a whole number from ${min} to ${max}`)
    .transform(Number)
    .pipe(z.number().min(min).max(max));

const environmentSchema = z.object({
  OPENCOMPUTER_LISTEN: listenSchema.default({ host: '127.0.0.1', port: 8080 }),
  OPENCOMPUTER_DATA_DIR: z.string().optional(),
  OPENCOMPUTER_DATABASE_URL: z
    .string()
    .regex(
      /^postgres(ql)?:\/\/\S+$/,
      'expected an address such as postgres://user:password@host:5432/opencomputer',
    )
    .optional(),
  OPENCOMPUTER_API_KEY: z
    .string()
    .regex(/^[!-~]{16,256}$/, 'expected 16 to 256 printable characters without spaces')
    .optional(),
  OPENCOMPUTER_WORKER_SOCKET: z.string().optional(),
  OPENCOMPUTER_MAX_SANDBOXES: integer(1, 1_000_000).default(100),
  OPENCOMPUTER_MAX_HIBERNATED: integer(1, 1_000_000).default(1000),
  OPENCOMPUTER_MAX_CHECKPOINTS_FULL: integer(1, 10_000).default(limits.checkpointsFull),
  OPENCOMPUTER_MAX_CHECKPOINTS_DISK_ONLY: integer(1, 10_000).default(limits.checkpointsDiskOnly),
  OPENCOMPUTER_MAX_CPU: integer(limits.cpuCountMin, 64).default(limits.cpuCountMax),
  OPENCOMPUTER_MAX_MEMORY_MB: integer(limits.memoryMBMin, 1024 * 1024).default(limits.memoryMBMax),
  OPENCOMPUTER_SANDBOX_DOMAIN: z
    .string()
    .regex(/^([a-z0-9-]+\.)*[a-z0-9-]+(:\d{1,5})?$/i, 'expected a domain name')
    .optional(),
  OPENCOMPUTER_PUBLIC_URL: publicUrlSchema.optional(),
  OPENCOMPUTER_AGENT_COMMAND: z
    .string()
    .regex(/^[\w./+-]{1,256}$/, 'expected the name or the absolute path of a program in the sandbox')
    .default('claude-agent-wrapper'),
  OPENCOMPUTER_REGION: z
    .string()
    .regex(/^[\w.-]{1,64}$/, 'expected up to 64 letters, digits, dots and dashes')
    .default('local'),
  OPENCOMPUTER_LOG_LEVEL: z.enum(logLevels).default('info'),
  OPENCOMPUTER_RUN_AS: runAsSchema.optional(),
});

/** The environment variables that are read. */
export const settingNames: readonly string[] = Object.keys(environmentSchema.shape);

export interface ServerConfig {
  readonly listen: { readonly host: string; readonly port: number };
  readonly dataDirectory: string;
  /** Address of a PostgreSQL database, perhaps with its password; absent: SQLite in the data directory. */
  readonly databaseUrl?: string | undefined;
  /** A key that is valid from the start; absent: one is generated when there is none. */
  readonly apiKey?: string | undefined;
  readonly workerSocket: string;
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
  readonly logLevel: (typeof logLevels)[number];
  /** Whom to become once the port is open, when started as root. */
  readonly runAs?: User | undefined;
}

/** The data directory where the configuration names none. */
export function defaultDataDirectory(): string {
  return process.getuid?.() === 0
    ? '/var/lib/opencomputer'
    : join(homedir(), '.local', 'share', 'opencomputer');
}

/**
 * Reads the configuration from environment variables. A variable that is set to nothing counts as absent.
 * @throws Error that names the variable and says what would be right.
 */
export function loadConfig(environment: Readonly<Record<string, string | undefined>>): ServerConfig {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = environmentSchema.safeParse(given);
  if (!parsed.success) throw new Error(`configuration: ${describeIssues(parsed.error)}`);
  const env = parsed.data;
  const dataDirectory = resolve(env.OPENCOMPUTER_DATA_DIR ?? defaultDataDirectory());
  return {
    listen: env.OPENCOMPUTER_LISTEN,
    dataDirectory,
    databaseUrl: env.OPENCOMPUTER_DATABASE_URL,
    apiKey: env.OPENCOMPUTER_API_KEY,
    workerSocket: resolve(env.OPENCOMPUTER_WORKER_SOCKET ?? join(dataDirectory, 'worker', 'worker.sock')),
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
