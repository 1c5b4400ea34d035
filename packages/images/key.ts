import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** A named piece of what an artifact is made from. */
export interface KeyPart {
  name: string;
  content: Uint8Array | string;
}

/** Names an artifact after everything it is made from: 16 hex digits of a SHA-256. */
export function contentKey(parts: readonly KeyPart[]): string {
  const hash = createHash('sha256');
  for (const { name, content } of parts.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const bytes = Buffer.from(content);
    // Lengths first, so that two different lists of parts never give the hash the same bytes.
    hash.update(`${Buffer.byteLength(name)}:${name}${bytes.length}:`);
    hash.update(bytes);
  }
  return hash.digest('hex').slice(0, 16);
}

/** Every file below a directory that `keep` accepts, named by its relative path. */
export function folderParts(directory: string, keep: (path: string) => boolean = () => true): KeyPart[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => keep(file))
    .map((file) => ({ name: path.relative(directory, file), content: readFileSync(file) }));
}

/** Go sources that are part of a binary: everything but tests and their helpers. */
export function isGoSource(file: string): boolean {
  return /(\.go|\.s|go\.mod|go\.sum)$/.test(file) && !/(_test\.go|\/agenttest\/[^/]+)$/.test(file);
}
