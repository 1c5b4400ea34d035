import { limits } from '@opencomputer/protocol';
import { z } from 'zod';
import { decimal, integer, listenAddress, origin, user } from './setting-values.ts';

/** The processes that read settings; `images` is the builder of the guest's images. */
export type Reader = 'launcher' | 'server' | 'worker' | 'images';

interface SettingBase {
  readonly schema: z.ZodType<unknown, string>;
  readonly readers: readonly Reader[];
  /** Its section in the reference. */
  readonly section: 'both' | 'server' | 'worker' | 'launcher' | 'tests';
  /** One sentence for the reference. */
  readonly meaning: string;
}

/**
 * A setting of the installation: an environment variable. `default` is used where it is absent; `absent` says in words
 * what happens then; a `required` one must be set.
 */
export type Setting = SettingBase &
  ({ readonly default: string } | { readonly absent: string } | { readonly required: true });

const text = z.string();
const all: readonly Reader[] = ['launcher', 'server', 'worker', 'images'];

/** All settings, in the order of the reference. No process reads any other. */
export const settings = {
  OPENCOMPUTER_DATA_DIR: {
    schema: text,
    readers: all,
    section: 'both',
    absent: 'root: `/var/lib/opencomputer`, else `~/.local/share/opencomputer`',
    meaning: 'all data, at most 60 bytes long',
  },
  OPENCOMPUTER_CACHE_DIR: {
    schema: text,
    readers: ['launcher', 'worker', 'images'],
    section: 'both',
    absent: '`cache` in the data directory',
    meaning: 'images, templates; same file system',
  },
  OPENCOMPUTER_LOG_LEVEL: {
    schema: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    readers: ['server', 'worker'],
    section: 'both',
    default: 'info',
    meaning: '`trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`',
  },
  OPENCOMPUTER_LISTEN: {
    schema: listenAddress,
    readers: ['launcher', 'server'],
    section: 'server',
    default: '127.0.0.1:8080',
    meaning: '`host:port` or `[ipv6]:port` of the API',
  },
  OPENCOMPUTER_DATABASE_URL: {
    schema: text.regex(
      /^postgres(ql)?:\/\/\S+$/,
      'expected an address such as postgres://user:password@host:5432/opencomputer',
    ),
    readers: ['server'],
    section: 'server',
    absent: 'SQLite in the data directory',
    meaning: '`postgres://user:password@host:5432/name`, a database of PostgreSQL 15 or newer',
  },
  OPENCOMPUTER_API_KEY: {
    schema: text.regex(/^[!-~]{16,256}$/, 'expected 16 to 256 printable characters without spaces'),
    readers: ['server'],
    section: 'server',
    absent: 'generated',
    meaning: 'the first key: 16 to 256 printable characters',
  },
  OPENCOMPUTER_MAX_SANDBOXES: {
    schema: integer(1, 1_000_000),
    readers: ['server'],
    section: 'server',
    default: '100',
    meaning: 'live sandboxes of one owner; hibernated ones do not count',
  },
  OPENCOMPUTER_MAX_HIBERNATED: {
    schema: integer(1, 1_000_000),
    readers: ['server'],
    section: 'server',
    default: '1000',
    meaning: 'hibernated sandboxes of one owner',
  },
  OPENCOMPUTER_MAX_CHECKPOINTS_FULL: {
    schema: integer(1, 10_000),
    readers: ['server'],
    section: 'server',
    default: `${limits.checkpointsFull}`,
    meaning: 'full checkpoints of one sandbox, at most 10000',
  },
  OPENCOMPUTER_MAX_CHECKPOINTS_DISK_ONLY: {
    schema: integer(1, 10_000),
    readers: ['server'],
    section: 'server',
    default: `${limits.checkpointsDiskOnly}`,
    meaning: "checkpoints of one sandbox's disk, at most 10000",
  },
  OPENCOMPUTER_MAX_CPU: {
    schema: integer(limits.cpuCountMin, 64),
    readers: ['server'],
    section: 'server',
    default: `${limits.cpuCountMax}`,
    meaning: 'CPUs of one sandbox, at most 64',
  },
  OPENCOMPUTER_MAX_MEMORY_MB: {
    schema: integer(limits.memoryMBMin, 1024 * 1024),
    readers: ['server'],
    section: 'server',
    default: `${limits.memoryMBMax}`,
    meaning: 'memory of one sandbox, at most 1048576',
  },
  OPENCOMPUTER_PUBLIC_URL: {
    schema: origin,
    readers: ['server'],
    section: 'server',
    absent: 'what clients say',
    meaning: 'scheme and host in `connectURL` and signed URLs',
  },
  OPENCOMPUTER_AGENT_COMMAND: {
    schema: text.regex(
      /^[\w./+-]{1,256}$/,
      'expected the name or the absolute path of a program in the sandbox',
    ),
    readers: ['server'],
    section: 'server',
    default: 'claude-agent-wrapper',
    meaning: 'program of agent sessions, in the sandbox',
  },
  OPENCOMPUTER_REGION: {
    schema: text.regex(/^[\w.-]{1,64}$/, 'expected up to 64 letters, digits, dots and dashes'),
    readers: ['server'],
    section: 'server',
    default: 'local',
    meaning: 'shown as `region` of every sandbox',
  },
  OPENCOMPUTER_SANDBOX_DOMAIN: {
    schema: text.regex(/^([a-z0-9-]+\.)*[a-z0-9-]+(:\d{1,5})?$/i, 'expected a domain name'),
    readers: ['server'],
    section: 'server',
    absent: 'none',
    meaning: 'shown as `sandboxDomain`; nothing is served there yet',
  },
  OPENCOMPUTER_ACCEL: {
    schema: z.enum(['auto', 'kvm', 'tcg']),
    readers: ['worker'],
    section: 'worker',
    default: 'auto',
    meaning: '`kvm`: refuse to start without; `tcg`: always emulate',
  },
  OPENCOMPUTER_SUBNET: {
    schema: text,
    readers: ['worker'],
    section: 'worker',
    absent: '`10.213.0.0/16`',
    meaning: 'private range to take a /22 for machines from',
  },
  OPENCOMPUTER_WARM_NETWORKS: {
    schema: integer(0, 64),
    readers: ['worker'],
    section: 'worker',
    default: '8',
    meaning: 'networks made in advance, 0 to 64',
  },
  OPENCOMPUTER_MAX_MACHINES: {
    schema: integer(1, 4000),
    readers: ['worker'],
    section: 'worker',
    default: '500',
    meaning: 'machines of this host, 1 to 4000',
  },
  OPENCOMPUTER_MEMORY_OVERCOMMIT: {
    schema: decimal(0.1, 64),
    readers: ['worker'],
    section: 'worker',
    default: '4',
    meaning: "promised memory as a multiple of the host's",
  },
  OPENCOMPUTER_MIN_FREE_DISK_MB: {
    schema: integer(0, 999_999_999),
    readers: ['worker'],
    section: 'worker',
    default: '2048',
    meaning: 'MiB of disk that stay free; not less than 2048',
  },
  OPENCOMPUTER_GUEST_CA_CERTIFICATES: {
    schema: text,
    readers: ['launcher', 'worker'],
    section: 'worker',
    absent: 'none',
    meaning: 'PEM file of certificates that guests trust in addition to their own',
  },
  OPENCOMPUTER_GUEST_HTTP_PROXY: {
    schema: text,
    readers: ['launcher', 'worker'],
    section: 'worker',
    absent: 'none',
    meaning: 'URL of the proxy that guests use for `http`',
  },
  OPENCOMPUTER_GUEST_HTTPS_PROXY: {
    schema: text,
    readers: ['launcher', 'worker'],
    section: 'worker',
    absent: 'none',
    meaning: 'URL of the proxy that guests use for `https`',
  },
  OPENCOMPUTER_GUEST_NO_PROXY: {
    schema: text,
    readers: ['launcher', 'worker'],
    section: 'worker',
    absent: 'none',
    meaning: 'names that guests reach without the proxy, besides `localhost`',
  },
  OPENCOMPUTER_QEMU: {
    schema: text,
    readers: ['worker'],
    section: 'worker',
    absent: 'found, see below',
    meaning: '`qemu-system-x86_64`, or the directory that holds it',
  },
  OPENCOMPUTER_WORKER_SOCKET: {
    schema: text,
    readers: ['server', 'worker'],
    section: 'launcher',
    absent: '`worker/worker.sock` below the data',
    meaning: 'unix socket between the two',
  },
  OPENCOMPUTER_BOOT_IMAGE: {
    schema: text,
    readers: ['worker'],
    section: 'launcher',
    required: true,
    meaning: 'directory with `kernel` and `initramfs`',
  },
  OPENCOMPUTER_ROOTFS_IMAGE: {
    schema: text,
    readers: ['worker'],
    section: 'launcher',
    required: true,
    meaning: 'directory with `rootfs.ext4`',
  },
  OPENCOMPUTER_JAILER: {
    schema: text,
    readers: ['worker'],
    section: 'launcher',
    required: true,
    meaning: 'the program that starts QEMU',
  },
  OPENCOMPUTER_SOCKET_OWNER: {
    schema: user,
    readers: ['worker'],
    section: 'launcher',
    absent: 'the user of the worker',
    meaning: '`uid:gid` that may call it, where the server is not root',
  },
  OPENCOMPUTER_RUN_AS: {
    schema: user.refine(({ uid }) => uid !== 0, 'expected uid:gid in numbers, not root, such as 990:990'),
    readers: ['server'],
    section: 'launcher',
    absent: 'keeps its user',
    meaning: '`uid:gid` to become once its port is open',
  },
  OPENCOMPUTER_TEST_FAULTS: {
    schema: text,
    readers: ['worker'],
    section: 'tests',
    absent: 'none',
    meaning: 'file by which tests make the worker or a machine fail at a chosen step',
  },
} as const satisfies Readonly<Record<string, Setting>>;
