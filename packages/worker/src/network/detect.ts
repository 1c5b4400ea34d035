import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, open, readFile } from 'node:fs/promises';
import { systemErrorCode } from '../host/errors.ts';
import { namespaceDirectory } from './names.ts';
import { namespaceRules } from './rules.ts';
import { CommandError, installed, run } from './run.ts';
import type { NetworkMode } from './types.ts';

/** Something that namespaces need and this host lacks. */
export interface Shortcoming {
  check: 'root' | 'capabilities' | 'tools' | 'tun' | 'forwarding' | 'namespaces' | 'nftables';
  problem: string;
  fix: string;
}

export interface Detection {
  mode: NetworkMode;
  /** Empty in namespace mode. */
  shortcomings: Shortcoming[];
}

/** Capabilities by their bit in `/proc/PID/status`. */
const neededCapabilities = [
  { name: 'CAP_NET_ADMIN', bit: 12n },
  { name: 'CAP_SYS_ADMIN', bit: 21n },
];

const tools = [
  { program: 'ip', from: 'iproute2' },
  { program: 'nft', from: 'nftables' },
  { program: 'nsenter', from: 'util-linux' },
];

async function privileges(): Promise<Shortcoming[]> {
  if (process.getuid?.() !== 0) {
    return [{ check: 'root', problem: 'not running as root', fix: 'start OpenComputer as root' }];
  }
  const status = await readFile('/proc/self/status', 'utf8');
  const held = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const lacking = neededCapabilities.filter(({ bit }) => ((held >> bit) & 1n) === 0n);
  if (lacking.length === 0) return [];
  const names = lacking.map(({ name }) => name).join(' and ');
  return [
    {
      check: 'capabilities',
      problem: `${names} missing`,
      fix: `grant ${names} to the process or container`,
    },
  ];
}

function missingTools(): Shortcoming[] {
  const missing = tools.filter(({ program }) => !installed(program));
  if (missing.length === 0) return [];
  return [
    {
      check: 'tools',
      problem: `not installed: ${missing.map(({ program }) => program).join(', ')}`,
      fix: `apt-get install ${missing.map(({ from }) => from).join(' ')}`,
    },
  ];
}

async function tun(): Promise<Shortcoming[]> {
  try {
    await (await open('/dev/net/tun', 'r+')).close();
    return [];
  } catch (error) {
    const code = systemErrorCode(error) ?? 'unknown error';
    return [
      {
        check: 'tun',
        problem: `/dev/net/tun cannot be opened (${code})`,
        fix: 'modprobe tun; in a container, pass the device /dev/net/tun in',
      },
    ];
  }
}

async function forwarding(): Promise<Shortcoming[]> {
  const path = '/proc/sys/net/ipv4/ip_forward';
  if ((await readFile(path, 'utf8')).trim() === '1') return [];
  try {
    await access(path, constants.W_OK);
    return [];
  } catch {
    return [
      {
        check: 'forwarding',
        problem: 'IPv4 forwarding is off and cannot be turned on from here',
        fix: 'sysctl -w net.ipv4.ip_forward=1 on the host',
      },
    ];
  }
}

function said(error: unknown): string {
  return error instanceof CommandError ? error.stderr.trim() || error.message : String(error);
}

/** In a container, to have a capability proves little: make a namespace and check a rule set. */
async function trial(): Promise<Shortcoming[]> {
  const name = `ocprobe-${randomBytes(4).toString('hex')}`;
  try {
    await run(['ip', 'netns', 'add', name]);
  } catch (error) {
    return [
      {
        check: 'namespaces',
        problem: `a network namespace cannot be made: ${said(error)}`,
        fix: `run on the host or in a privileged container, with ${namespaceDirectory} writable`,
      },
    ];
  }
  try {
    await run(['nsenter', `--net=${namespaceDirectory}/${name}`, '--', 'nft', '--check', '-f', '-'], {
      input: namespaceRules({ gateway: '10.213.0.1', limitConnections: false }),
    });
    return [];
  } catch (error) {
    return [
      {
        check: 'nftables',
        problem: `nftables rules cannot be set: ${said(error)}`,
        fix: 'use a kernel with nf_tables, its NAT and reject modules (any distribution kernel has them)',
      },
    ];
  } finally {
    await run(['ip', 'netns', 'del', name]);
  }
}

/** Finds out by trying which networks this host can give to machines. */
export async function detectNetworkMode(): Promise<Detection> {
  const shortcomings = [...(await privileges()), ...missingTools()];
  if (shortcomings.length === 0) shortcomings.push(...(await tun()), ...(await forwarding()));
  if (shortcomings.length === 0) shortcomings.push(...(await trial()));
  return { mode: shortcomings.length === 0 ? 'namespace' : 'user', shortcomings };
}

/** Whether the kernel can count connections in a rule. */
export async function canLimitConnections(): Promise<boolean> {
  const input = namespaceRules({ gateway: '10.213.0.1', limitConnections: true });
  return (await run(['nft', '--check', '-f', '-'], { input, accept: [0, 1] })).code === 0;
}
