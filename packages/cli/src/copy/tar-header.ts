/** Size of the blocks that archives are made of. */
export const blockBytes = 512;

export type EntryType = 'file' | 'directory' | 'symlink' | 'link' | 'other';

/** The header of an entry in an archive. */
export interface Entry {
  type: EntryType;
  path: string;
  /** Permissions. */
  mode: number;
  /** Bytes of content. */
  size: number;
  /** Seconds since 1970. */
  modified: number;
  /** The target of a link. */
  target: string;
}

/** Owner of files that are written into a sandbox: its user. */
const owner = { id: 1000, name: 'sandbox' };
const typeFlags = { file: '0', link: '1', symlink: '2', directory: '5', other: '7' } as const;
const flagTypes: Readonly<Record<string, EntryType>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'link',
  '2': 'symlink',
  '5': 'directory',
  '7': 'file',
};
const nameBytes = 100;
const largestOctal = 0o77777777777;

/** An entry as a ustar header, with an extended header (pax) before it where a value does not fit. */
export function encodeHeader(entry: Entry): Buffer {
  const records: string[] = [];
  if (!fits(entry.path)) records.push(record('path', entry.path));
  if (!fits(entry.target)) records.push(record('linkpath', entry.target));
  if (entry.size > largestOctal) records.push(record('size', String(entry.size)));
  const extended = Buffer.from(records.join(''));
  const plain = block({ ...entry, size: Math.min(entry.size, largestOctal) }, typeFlags[entry.type]);
  if (extended.length === 0) return plain;
  const carrier = { ...entry, path: 'pax', target: '', mode: 0o644, size: extended.length };
  return Buffer.concat([block(carrier, 'x'), extended, padding(extended.length), plain]);
}

/** Zeros up to the next block. */
export function padding(size: number): Buffer {
  return Buffer.alloc((blockBytes - (size % blockBytes)) % blockBytes);
}

function fits(text: string): boolean {
  return Buffer.byteLength(text) <= nameBytes && /^[\u0020-\u007e]*$/.test(text);
}

/** `LENGTH NAME=VALUE` and a newline; the length includes its own digits. */
function record(name: string, value: string): string {
  const rest = ` ${name}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes + String(bytes).length;
  if (String(length).length > String(bytes).length) length = bytes + String(length).length;
  return `${length}${rest}`;
}

function block(entry: Entry, flag: string): Buffer {
  const header = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, width: number): void => {
    header.write(
      `${Math.max(0, value)
        .toString(8)
        .padStart(width - 1, '0')}\0`,
      at,
      'latin1',
    );
  };
  header.write(entry.path.slice(0, nameBytes), 0, nameBytes, 'utf8');
  octal(entry.mode & 0o7777, 100, 8);
  octal(owner.id, 108, 8);
  octal(owner.id, 116, 8);
  octal(entry.size, 124, 12);
  octal(Math.floor(entry.modified), 136, 12);
  header.write('        ', 148, 'latin1');
  header.write(flag, 156, 'latin1');
  header.write(entry.target.slice(0, nameBytes), 157, nameBytes, 'utf8');
  header.write('ustar\x0000', 257, 'latin1');
  header.write(owner.name, 265, 'latin1');
  header.write(owner.name, 297, 'latin1');
  header.write(`${checksum(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

function checksum(header: Buffer): number {
  let sum = 0;
  for (const [at, byte] of header.entries()) sum += at >= 148 && at < 156 ? 0x20 : byte;
  return sum;
}

/** A header as it is, with its type flag: types such as `x` and `L` change the entry that follows. */
export interface RawHeader {
  flag: string;
  entry: Entry;
}

/**
 * Parses a header block; undefined for the zeros at the end of an archive. @throws RangeError when it is not a header
 */
export function decodeHeader(header: Buffer): RawHeader | undefined {
  if (header.every((byte) => byte === 0)) return undefined;
  const text = (at: number, length: number): string => {
    const field = header.subarray(at, at + length);
    const end = field.indexOf(0);
    return field.subarray(0, end < 0 ? length : end).toString('utf8');
  };
  if (number(header, 148, 8) !== checksum(header))
    throw new RangeError('a block that is no header of an archive');
  const flag = text(156, 1) || '\0';
  const prefix = text(257, 5) === 'ustar' && text(263, 2) === '00' ? text(345, 155) : '';
  const name = text(0, nameBytes);
  const entry = {
    type: flagTypes[flag] ?? 'other',
    path: prefix === '' ? name : `${prefix}/${name}`,
    mode: number(header, 100, 8) & 0o7777,
    size: number(header, 124, 12),
    modified: number(header, 136, 12),
    target: text(157, nameBytes),
  };
  return { flag, entry };
}

/** Octal digits, or for large values a binary number with the first bit set. */
function number(header: Buffer, at: number, length: number): number {
  const field = header.subarray(at, at + length);
  const value =
    ((field[0] ?? 0) & 0x80) === 0
      ? Number.parseInt(field.toString('latin1').replaceAll('\0', ' ').trim() || '0', 8)
      : Number(BigInt(`0x${field.subarray(1).toString('hex')}`));
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError('a number in an archive that cannot be');
  return value;
}
