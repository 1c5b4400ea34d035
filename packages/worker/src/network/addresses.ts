/**
 * The addresses that every guest sees, on every host and in both modes, so that nothing changes for a restored guest.
 */
export const guestNetwork = {
  guest: '172.30.0.2',
  gateway: '172.30.0.1',
  prefix: 30,
  subnet: '172.30.0.0/30',
  guestMac: '52:54:00:6f:63:01',
  /**
   * The hardware address that QEMU's user networking gives to the gateway, so that ARP caches survive a change of mode.
   */
  gatewayMac: '52:55:ac:1e:00:01',
  tap: 'tap0',
} as const;

/**
 * Ranges that no guest may reach. The documentation and benchmark ranges are not among them: some sites route their
 * package mirrors there.
 */
export const deniedRanges: readonly string[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '224.0.0.0/4',
  '240.0.0.0/4',
];

/** An IPv4 range: first address as an unsigned 32-bit number, and prefix length in bits. */
export interface Block {
  base: number;
  prefix: number;
}

/** @throws RangeError when the text is not a dotted IPv4 address. */
export function parseAddress(text: string): number {
  const parts = text.split('.');
  const bytes = parts.map((part) => (/^(0|[1-9][0-9]{0,2})$/.test(part) ? Number(part) : 256));
  if (bytes.length !== 4 || bytes.some((byte) => byte > 255)) {
    throw new RangeError(`"${text}" is not an IPv4 address such as 10.213.0.1`);
  }
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0);
}

/** An unsigned 32-bit number as a dotted address. */
export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

/** Number of addresses in a block. */
export function blockSize(block: Block): number {
  return 2 ** (32 - block.prefix);
}

/** Reads `a.b.c.d/n`; an address alone is a /32. @throws RangeError when malformed. */
export function parseBlock(text: string): Block {
  const [address = '', prefixText = '32', ...more] = text.split('/');
  const prefix = /^[0-9]{1,2}$/.test(prefixText) ? Number(prefixText) : 33;
  if (prefix > 32 || more.length > 0) {
    throw new RangeError(`"${text}" is not an IPv4 range such as 10.213.0.0/16`);
  }
  const size = 2 ** (32 - prefix);
  return { base: Math.floor(parseAddress(address) / size) * size, prefix };
}

export function formatBlock(block: Block): string {
  return `${formatAddress(block.base)}/${block.prefix}`;
}

/** Whether all of `inner` lies in `outer`. */
export function contains(outer: Block, inner: Block): boolean {
  return outer.base <= inner.base && inner.base + blockSize(inner) <= outer.base + blockSize(outer);
}

export function overlaps(one: Block, other: Block): boolean {
  return contains(one, other) || contains(other, one);
}
