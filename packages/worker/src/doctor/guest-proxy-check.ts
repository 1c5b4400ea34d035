import { lookup } from 'node:dns/promises';
import { errorText } from '../host/errors.ts';
import { type GuestProxy, proxyVariables } from '../host/guest-proxy.ts';
import { contains, deniedRanges, parseBlock } from '../network/addresses.ts';
import type { CheckDefinition, CheckResult } from './checks.ts';

/** Whether guests can reach the proxy that they are to use. */
export const proxyCheck: CheckDefinition = {
  id: 'guest-proxy',
  title: 'Guest proxy',
  run: ({ guestProxy }) => judgeProxy(guestProxy ?? {}),
};

/** Only names of hosts are shown: the settings may contain passwords. */
export async function judgeProxy(proxy: GuestProxy): Promise<CheckResult> {
  const { http_proxy: http, https_proxy: https } = proxyVariables(proxy);
  const urls = [http, https].filter((url) => url !== undefined);
  const hosts = [...new Set(urls.map((url) => new URL(url).hostname.replace(/^\[|\]$/g, '')))];
  for (const host of hosts) {
    const problem = await problemOf(host);
    if (problem === undefined) continue;
    return {
      status: 'warn',
      found: `${host}, ${problem}`,
      why: 'The settings of sandboxes name a proxy that programs there cannot reach.',
      fix: 'Name a proxy at a public address, or none: sandboxes may reach the internet, and no private network.',
    };
  }
  return { status: 'ok', found: hosts.length === 0 ? 'none' : hosts.join(', ') };
}

async function problemOf(host: string): Promise<string | undefined> {
  try {
    const addresses = await lookup(host, { family: 4, all: true });
    const denied = addresses.find(({ address }) =>
      deniedRanges.some((range) => contains(parseBlock(range), parseBlock(address))),
    );
    return denied === undefined ? undefined : `at ${denied.address}, which the network of sandboxes refuses`;
  } catch (error) {
    return `which has no IPv4 address: ${errorText(error)}`;
  }
}
