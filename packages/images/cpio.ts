/** One entry of an initramfs; paths are relative, parents come before their children. */
export type CpioEntry =
  | { kind: 'directory'; path: string; mode: number }
  | { kind: 'file'; path: string; mode: number; content: Uint8Array }
  | { kind: 'device'; path: string; mode: number; major: number; minor: number };

const fileTypes = { directory: 0o040000, file: 0o100000, device: 0o020000 } as const;

/**
 * An uncompressed archive in the kernel's "newc" format, owned by root and without times, so that equal entries give
 * equal bytes. Not compressed on purpose: an emulated processor takes longer to decompress than the host to read it.
 */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.flatMap((entry, index) => encodeEntry(entry, index + 1));
  parts.push(...encodeRecord('TRAILER!!!', [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], new Uint8Array()));
  return Buffer.concat(parts);
}

function encodeEntry(entry: CpioEntry, inode: number): Uint8Array[] {
  const content = entry.kind === 'file' ? entry.content : new Uint8Array();
  const [major, minor] = entry.kind === 'device' ? [entry.major, entry.minor] : [0, 0];
  const links = entry.kind === 'directory' ? 2 : 1;
  const mode = fileTypes[entry.kind] | entry.mode;
  return encodeRecord(entry.path, [inode, mode, 0, 0, links, 0, content.length, 0, 0, major, minor], content);
}

function encodeRecord(path: string, fields: readonly number[], content: Uint8Array): Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  const numbers = [...fields, name.length, 0].map((field) => field.toString(16).padStart(8, '0'));
  const header = Buffer.concat([Buffer.from(`070701${numbers.join('')}`), name]);
  return [padded(header), padded(content)];
}

function padded(bytes: Uint8Array): Uint8Array {
  const excess = bytes.length % 4;
  return excess === 0 ? bytes : Buffer.concat([bytes, new Uint8Array(4 - excess)]);
}
