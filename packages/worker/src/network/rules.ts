import { deniedRanges, guestNetwork } from './addresses.ts';
import type { Block } from './addresses.ts';
import { formatBlock } from './addresses.ts';

/** Name of a slot's end of its veth pair, inside its namespace. */
export const uplink = 'uplink';

/** Name of the nftables table inside every namespace. */
export const namespaceTable = 'opencomputer';

/** Tracked connections per sandbox, so that none fills the host's table (usually 262,144). */
const connectionLimit = 8192;

const denied = `{ ${deniedRanges.join(', ')} }`;

// A client that is refused reports that at once; one that gets no answer waits for its timeout.
const reject = [
  'meta l4proto tcp reject with tcp reset',
  'meta nfproto ipv4 reject with icmp type admin-prohibited',
  'drop',
];

function chain(name: string, hook: string, rules: readonly string[]): string {
  return [
    `  chain ${name} {`,
    ...(hook === '' ? [] : [hook]).concat(rules).map((rule) => `    ${rule}`),
    '  }',
  ].join('\n');
}

/** One transaction: the table is replaced as a whole, whatever was there. */
function replaceTable(name: string, body: readonly string[]): string {
  return [
    `add table inet ${name}`,
    `delete table inet ${name}`,
    `table inet ${name} {`,
    ...body,
    '}',
    '',
  ].join('\n');
}

export interface NamespaceRules {
  /** The bridge's address, where the DNS forwarder listens. */
  gateway: string;
  /** False on kernels that cannot count connections. */
  limitConnections: boolean;
}

/** nftables script of a machine's namespace: policy, NAT of the guest's address, DNS to the forwarder. */
export function namespaceRules({ gateway, limitConnections }: NamespaceRules): string {
  const { tap, guest, gateway: inner, guestMac } = guestNetwork;
  return replaceTable(namespaceTable, [
    chain('prerouting', 'type nat hook prerouting priority dstnat; policy accept;', [
      `iifname "${tap}" ip daddr ${inner} udp dport 53 dnat ip to ${gateway}`,
      `iifname "${tap}" ip daddr ${inner} tcp dport 53 dnat ip to ${gateway}`,
    ]),
    chain('postrouting', 'type nat hook postrouting priority srcnat; policy accept;', [
      `oifname "${uplink}" masquerade`,
    ]),
    chain('refuse', '', reject),
    chain('guest', '', [
      `ether saddr != ${guestMac} drop`,
      `ip saddr != ${guest} drop`,
      ...(limitConnections ? [`ct state new ct count over ${connectionLimit} goto refuse`] : []),
      `ct status dnat ip daddr ${gateway} udp dport 53 accept`,
      `ct status dnat ip daddr ${gateway} tcp dport 53 accept`,
      `ip daddr ${denied} goto refuse`,
      'accept',
    ]),
    chain('forward', 'type filter hook forward priority filter; policy drop;', [
      'meta nfproto ipv6 drop',
      'ct state invalid drop',
      'ct state established,related accept',
      `iifname "${tap}" oifname "${uplink}" goto guest`,
      `iifname "${tap}" goto refuse`,
    ]),
    chain('input', 'type filter hook input priority filter; policy drop;', [
      'meta nfproto ipv6 drop',
      'ct state established,related accept',
      `iifname "${tap}" ip daddr ${inner} icmp type echo-request accept`,
      `iifname "${tap}" goto refuse`,
    ]),
    // Only answers leave the namespace itself: an attacker who gets from a guest into QEMU has no network.
    chain('output', 'type filter hook output priority filter; policy drop;', [
      'ct state established,related accept',
    ]),
  ]);
}

export interface HostRules {
  table: string;
  bridge: string;
  block: Block;
  gateway: string;
  /** Port of the forwarder on the bridge's address; queries to port 53 are redirected there. */
  dnsPort: number;
}

/** nftables script of the host: from the bridge only DNS may reach the host, and only the internet lies beyond it. */
export function hostRules({ table, bridge, block, gateway, dnsPort }: HostRules): string {
  const subnet = formatBlock(block);
  const led =
    dnsPort === 53
      ? []
      : ['udp', 'tcp'].map(
          (protocol) =>
            `iifname "${bridge}" ip daddr ${gateway} ${protocol} dport 53 dnat ip to ${gateway}:${dnsPort}`,
        );
  return replaceTable(table, [
    chain('prerouting', 'type nat hook prerouting priority dstnat - 10; policy accept;', led),
    chain('postrouting', 'type nat hook postrouting priority srcnat; policy accept;', [
      `ip saddr ${subnet} oifname != "${bridge}" masquerade`,
    ]),
    chain('refuse', '', reject),
    chain('input', 'type filter hook input priority filter - 10; policy accept;', [
      `iifname != "${bridge}" accept`,
      `ip saddr ${subnet} ip daddr ${gateway} udp dport ${dnsPort} accept`,
      `ip saddr ${subnet} ip daddr ${gateway} tcp dport ${dnsPort} accept`,
      'goto refuse',
    ]),
    chain('outbound', '', [
      'meta nfproto ipv6 drop',
      `ip saddr != ${subnet} drop`,
      `ip daddr ${denied} goto refuse`,
      'accept',
    ]),
    chain('forward', 'type filter hook forward priority filter - 10; policy accept;', [
      // Over uplinks with a smaller MTU than the guest's 1500 bytes, such as tunnels, large segments would be lost.
      `iifname "${bridge}" tcp flags syn / syn,rst tcp option maxseg size set rt mtu`,
      `oifname "${bridge}" tcp flags syn / syn,rst tcp option maxseg size set rt mtu`,
      `oifname "${bridge}" ct state established,related accept`,
      `oifname "${bridge}" goto refuse`,
      `iifname "${bridge}" goto outbound`,
    ]),
  ]);
}
