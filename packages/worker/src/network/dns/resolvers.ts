import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { isIP } from 'node:net';
import { systemErrorCode } from '../../host/errors.ts';

/** Where a query is sent. */
export interface Resolver {
  address: string;
  port: number;
}

/** As many as glibc uses. */
const maxResolvers = 3;

/** The name servers of a resolv.conf(5) text; without any, the one on this host, as the format defines. */
export function parseResolvers(text: string): Resolver[] {
  const found = text
    .split('\n')
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? '')
    .filter((address) => isIP(address) !== 0)
    .slice(0, maxResolvers)
    .map((address) => ({ address, port: 53 }));
  return found.length > 0 ? found : [{ address: '127.0.0.1', port: 53 }];
}

/** The host's resolvers, kept up to date as the file changes. */
export class HostResolvers {
  readonly #path: string;
  #current: Resolver[];
  readonly #reload = (): void => {
    this.#current = this.#read();
  };

  constructor(path = '/etc/resolv.conf') {
    this.#path = path;
    this.#current = this.#read();
    // Polling also notices a file that is replaced, or a link that points to another file now.
    watchFile(path, { interval: 1000, persistent: false }, this.#reload);
  }

  /** Resolvers in the order of the file. */
  current(): readonly Resolver[] {
    return this.#current;
  }

  close(): void {
    unwatchFile(this.#path, this.#reload);
  }

  #read(): Resolver[] {
    try {
      return parseResolvers(readFileSync(this.#path, 'utf8'));
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return parseResolvers('');
      throw error;
    }
  }
}
