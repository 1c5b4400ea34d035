import type { Logger } from 'pino';

export type NetworkLog = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

export type NetworkMode = 'namespace' | 'user';

/** The network of one machine. */
export type NetworkSlot =
  | {
      readonly mode: 'namespace';
      readonly index: number;
      /** The machine's user, who owns the tap. */
      readonly uid: number;
      /** Absolute path of the namespace, such as /run/netns/oc-1a2b3c4d-0. */
      readonly namespacePath: string;
      /** Interface in the namespace that the machine opens. */
      readonly tap: string;
    }
  | {
      readonly mode: 'user';
      readonly index: number;
      /** User to run the machine as: our own, unless we are root. */
      readonly uid: number;
    };

export interface NetworkOptions {
  /** Eight lower-case hexadecimal digits that distinguish this installation from others on the host. */
  instanceTag: string;
  /** An existing directory for what must be known after a restart. */
  stateDir: string;
  /** User of slot 0; slot n has `uidBase + n`. Default `firstMachineUid`. */
  uidBase?: number;
  /** Range to take the instance's /22 from. Default 10.213.0.0/16. */
  subnet?: string;
  /** Slots kept ready. 0 makes each when it is claimed. */
  warm: number;
  log: NetworkLog;
  /** Default: what `detectNetworkMode` finds. */
  mode?: NetworkMode;
  /** Milliseconds between checks that other software left the host's rules in place. Default 10 000. */
  checkMs?: number;
  /** The host's resolver configuration. Default /etc/resolv.conf. */
  resolvConf?: string;
}

/** The networks of all machines of one installation on this host. */
export interface Network {
  readonly mode: NetworkMode;
  /** Claims a fresh slot, never used before. @throws NetworkFullError when all slots are in use. */
  claim(): Promise<NetworkSlot>;
  /** Adopts the slot of a machine that outlived the worker, and repairs it. @throws Error when that is impossible. */
  adopt(index: number): Promise<NetworkSlot>;
  /** Destroys a slot; nobody gets it again. A slot that is already gone is fine. */
  release(slot: NetworkSlot): Promise<void>;
  /**
   * Destroys what an earlier run of this instance left behind and nobody adopted.
   * @param keep slots that are still to be adopted
   * @returns names of the namespaces and links destroyed
   */
  sweep(keep: Iterable<number>): Promise<string[]>;
  /**
   * Closes the network. With `keep`, claimed slots and the rules that they need stay for the next run (which starts DNS
   * again); without, everything of this instance is removed.
   */
  close(options: { keep: boolean }): Promise<void>;
}

/** Every slot of this host is in use. */
export class NetworkFullError extends Error {
  constructor(limit: number) {
    super(`all ${limit} network slots of this host are in use; destroy or hibernate a sandbox`);
    this.name = 'NetworkFullError';
  }
}
