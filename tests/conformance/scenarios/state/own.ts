import type { Client, SandboxHandle } from '../../clients/client.ts';
import type { Context, Scenario } from '../scenario.ts';

/** Sandboxes of one scenario. */
export interface Own {
  readonly client: Client;
  /** A new sandbox. */
  readonly sandbox: SandboxHandle;
  /** Has a further sandbox ended with the scenario. */
  readonly keep: (made: Promise<SandboxHandle>) => Promise<SandboxHandle>;
  readonly keepAll: (made: Promise<SandboxHandle[]> | undefined) => Promise<SandboxHandle[]>;
}

/** Runs a scenario on a sandbox of its own. It and all that are kept end with it, and their checkpoints are deleted. */
export function onItsOwn(run: (own: Own) => Promise<void>): Scenario['run'] {
  return async ({ client }: Context) => {
    const all: SandboxHandle[] = [];
    const keepAll = async (made: Promise<SandboxHandle[]> | undefined) => {
      if (made === undefined) throw new Error('the client has no such method: declare why');
      const sandboxes = await made;
      all.push(...sandboxes);
      return sandboxes;
    };
    const keep = async (made: Promise<SandboxHandle>) => {
      const sandbox = await made;
      all.push(sandbox);
      return sandbox;
    };
    try {
      const sandbox = await keep(client.create({ envs: { FROM_SANDBOX: 'sandbox' }, timeout: 900 }));
      await run({ client, sandbox, keep, keepAll });
    } finally {
      await Promise.all(all.map(end));
    }
  };
}

async function end(sandbox: SandboxHandle): Promise<void> {
  for (const { id } of await sandbox.listCheckpoints()) await sandbox.deleteCheckpoint(id);
  await sandbox.kill();
}
