import type { Detection } from './detect.ts';
import type { NetworkMode } from './types.ts';

/** A description of the network of machines on this host, for the doctor to print. */
export interface NetworkFacts {
  mode: NetworkMode;
  /** One sentence. */
  summary: string;
  /** Why the full policy is not enforced, one sentence per reason; empty in namespace mode. */
  reasons: string[];
  /** Parts of the network policy that are not enforced. */
  missing: string[];
  /** What to do, in the order of `reasons`. */
  fixes: string[];
}

const unheld = [
  'sandboxes reach services on the host, those on its loopback included',
  'sandboxes reach private networks (10/8, 172.16/12, 192.168/16, 100.64/10) as far as the host does',
  'sandboxes reach link-local addresses, such as a cloud metadata service at 169.254.169.254',
  'denied connections are not refused by a firewall of their own, and connections are not counted',
];

/** Says which network policy a host enforces, why not all of it, and how to fix that. */
export function describeNetworkMode({ mode, shortcomings }: Detection): NetworkFacts {
  if (mode === 'namespace') {
    return {
      mode,
      summary:
        'Each machine has a network namespace of its own: internet yes; host, other sandboxes, private and link-local ranges no.',
      reasons: [],
      missing: [],
      fixes: [],
    };
  }
  return {
    mode,
    summary:
      'Machines use QEMU user networking: internet yes, other sandboxes no, nothing gets in; but the host and its networks are open to them.',
    reasons: shortcomings.map(({ problem }) => problem),
    missing: unheld,
    fixes: shortcomings.map(({ fix }) => fix),
  };
}
