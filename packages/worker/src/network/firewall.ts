import { readFile } from 'node:fs/promises';
import { systemErrorCode } from '../host/errors.ts';
import { installed, run } from './run.ts';

/** The traffic that must pass firewalls which other software set up on the host. */
export interface Passage {
  bridge: string;
  gateway: string;
  dnsPort: number;
}

/** A base chain of nftables, as `nft -j list chains` shows it. */
interface BaseChain {
  family: string;
  table: string;
  name: string;
  hook?: string;
  policy?: string;
}

interface Rule {
  chain: string;
  args: string[];
}

async function baseChains(): Promise<BaseChain[]> {
  const { stdout } = await run(['nft', '-j', 'list', 'chains']);
  const listing = JSON.parse(stdout) as { nftables: { chain?: BaseChain }[] };
  return listing.nftables.flatMap((entry) => (entry.chain?.hook === undefined ? [] : [entry.chain]));
}

async function legacyFilterInUse(): Promise<boolean> {
  try {
    return (await readFile('/proc/net/ip_tables_names', 'utf8')).split('\n').includes('filter');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** The iptables programs whose filter table exists; to run any other would create its table. */
async function activePrograms(chains: readonly BaseChain[]): Promise<string[]> {
  const modern = chains.some((chain) => chain.family === 'ip' && chain.table === 'filter');
  const legacy = await legacyFilterInUse();
  return [...(modern ? ['iptables-nft'] : []), ...(legacy ? ['iptables-legacy'] : [])].filter(installed);
}

function wanted({ bridge, gateway, dnsPort }: Passage, listing: string): Rule[] {
  // Docker leaves DOCKER-USER alone when it restarts, but puts its own rules before all others in FORWARD.
  const forward = listing.includes('-N DOCKER-USER') ? 'DOCKER-USER' : 'FORWARD';
  const note = ['-m', 'comment', '--comment', 'opencomputer'];
  const dns = (protocol: string): Rule => ({
    chain: 'INPUT',
    args: [
      '-d',
      `${gateway}/32`,
      '-i',
      bridge,
      '-p',
      protocol,
      '--dport',
      String(dnsPort),
      ...note,
      '-j',
      'ACCEPT',
    ],
  });
  return [
    { chain: forward, args: ['-i', bridge, ...note, '-j', 'ACCEPT'] },
    {
      chain: forward,
      args: ['-o', bridge, '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED', ...note, '-j', 'ACCEPT'],
    },
    dns('udp'),
    dns('tcp'),
  ];
}

/** The rules of a listing that name the bridge, as arguments for -D. */
function rulesOf(bridge: string, listing: string): Rule[] {
  return listing
    .split('\n')
    .map((line) => line.replaceAll('"', '').trim().split(/\s+/))
    .filter(([action, , ...args]) => action === '-A' && args.includes(bridge))
    .map(([, chain = '', ...args]) => ({ chain, args }));
}

async function list(program: string): Promise<string> {
  return (await run([program, '-w', '5', '-S'])).stdout;
}

async function remove(program: string, rules: readonly Rule[]): Promise<void> {
  // Exit code 1: the rule was removed meanwhile.
  for (const { chain, args } of rules)
    await run([program, '-w', '5', '-D', chain, ...args], { accept: [0, 1] });
}

/**
 * Lets our traffic through the host's iptables filter, where one is in use (Docker sets FORWARD to DROP). Our own
 * chains come first and have refused what the policy denies.
 * @returns names of base chains of other nftables firewalls that drop by default; we cannot open those.
 */
export async function openFirewall(passage: Passage): Promise<string[]> {
  const chains = await baseChains();
  const programs = await activePrograms(chains);
  for (const program of programs) {
    const listing = await list(program);
    const rules = wanted(passage, listing);
    const present = rulesOf(passage.bridge, listing);
    const same = rules.every((rule) =>
      present.some((other) => other.chain === rule.chain && matches(rule, other)),
    );
    if (same && present.length === rules.length) continue;
    await remove(program, present);
    for (const { chain, args } of rules) await run([program, '-w', '5', '-I', chain, '1', ...args]);
  }
  return chains
    .filter((chain) => chain.policy === 'drop' && (chain.hook === 'forward' || chain.hook === 'input'))
    .filter((chain) => chain.family === 'inet' || chain.family === 'ip')
    .filter(
      ({ family, table }) => !(family === 'ip' && table === 'filter' && programs.includes('iptables-nft')),
    )
    .map((chain) => `${chain.family} ${chain.table} ${chain.name}`);
}

// The listing shows a rule with more words than were given ("-m udp"), never with fewer.
function matches(rule: Rule, present: Rule): boolean {
  return rule.args.every((word) => present.args.includes(word));
}

/** Removes what `openFirewall` added. */
export async function closeFirewall(bridge: string): Promise<void> {
  for (const program of await activePrograms(await baseChains())) {
    await remove(program, rulesOf(bridge, await list(program)));
  }
}
