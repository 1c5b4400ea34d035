import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where `npm run build` puts them. */
export const builtClients = join(import.meta.dirname, '../../../dist/clients');

/** Larger than they ever get: they are kept in memory. */
const packageBytes = 8 * 1024 * 1024;

/** A package of a client, as package managers take it. */
export interface ClientPackage {
  readonly fileName: string;
  readonly content: Uint8Array<ArrayBuffer>;
  /** In hex. */
  readonly sha256: string;
  readonly contentType: string;
}

/** The packages of this version; undefined what has not been built. */
export interface ClientPackages {
  readonly npm: ClientPackage | undefined;
  readonly oc: ClientPackage | undefined;
  readonly wheel: ClientPackage | undefined;
}

/** Reads the packages of one version. @throws Error when one is there and cannot be read, or is too large */
export function readClients(directory: string, version: string): ClientPackages {
  return {
    npm: readPackage(directory, `opencomputer-sdk-${version}.tgz`, 'application/gzip'),
    oc: readPackage(directory, `opencomputer-cli-${version}.tgz`, 'application/gzip'),
    wheel: readPackage(directory, `opencomputer_sdk-${version}-py3-none-any.whl`, 'application/zip'),
  };
}

function readPackage(directory: string, fileName: string, contentType: string): ClientPackage | undefined {
  const path = join(directory, fileName);
  let content: Uint8Array<ArrayBuffer>;
  try {
    content = new Uint8Array(readFileSync(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  if (content.length > packageBytes)
    throw new Error(`${path} has ${content.length} bytes, more than a package of a client may have`);
  return { fileName, content, sha256: createHash('sha256').update(content).digest('hex'), contentType };
}
