import { readdir } from 'node:fs/promises';
import { run } from '../run.ts';

/** Everything of an instance on the host: namespaces, links, nftables tables, iptables rules. */
export async function traces(tag: string): Promise<string[]> {
  const [namespaces, links, tables, filters] = await Promise.all([
    readdir('/run/netns').catch(() => []),
    readdir('/sys/class/net'),
    run(['nft', 'list', 'tables']),
    run(['nft', 'list', 'ruleset', 'ip']),
  ]);
  const lines = [tables.stdout, filters.stdout].flatMap((text) => text.split('\n'));
  return [...namespaces, ...links, ...lines].filter((name) => name.includes(tag));
}
