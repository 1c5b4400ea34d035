import type { Client, SandboxHandle } from '../clients/client.ts';

export interface Context {
  readonly client: Client;
  /** Shared by the scenarios of a group: leave it as you found it. */
  readonly sandbox: SandboxHandle;
}

/** One behaviour that every client must show. */
export interface Scenario {
  readonly name: string;
  /** Runs beside all others because it mostly waits. Not on a test's own time: `expect.poll` is none of its means. */
  readonly slow?: boolean;
  /**
   * Boots or forks machines for long and shows little of the client: not run again with the synchronous form of the
   * Python client, which is written from the asynchronous one.
   */
  readonly expensive?: boolean;
  /** Needs a key of another tenant. */
  readonly tenants?: boolean;
  /** Why a client, or all of an origin, cannot express this at all. */
  readonly cannot?: Partial<Record<Client['name'] | Client['origin'], string>>;
  run(context: Context): Promise<void>;
}

/** Environment of the shared sandbox. */
export const sharedEnvs = { FROM_SANDBOX: 'sandbox', OVERRIDDEN: 'sandbox' };
