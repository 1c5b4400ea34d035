import type { Sandbox, SandboxState } from '@opencomputer/protocol';
import { presentSandbox } from '../sandboxes/present.ts';
import type { SandboxRow } from '../store/tables.ts';
import { type ApiContext, callerOf, type Services } from './context.ts';
import { publicBase } from './public-url.ts';

/** States in which a token is good for something. */
const usable: readonly SandboxState[] = ['creating', 'running', 'hibernated'];

/** A sandbox as clients see it. */
export function present(
  row: SandboxRow,
  { idle, installation }: Pick<Services, 'idle' | 'installation'>,
): Sandbox {
  return presentSandbox(row, idle.remainingMs(row.id), installation, idle.keptAwake(row.id));
}

/** The same for whoever may use it: with a token of its own, and where to use that. */
export async function presentWithToken(
  c: ApiContext,
  row: SandboxRow,
  services: Pick<Services, 'idle' | 'installation' | 'publicUrl' | 'tokens'>,
): Promise<Sandbox> {
  const sandbox = present(row, services);
  if (!usable.includes(row.state)) return sandbox;
  const connectURL = `${publicBase(c, services.publicUrl)}/api`;
  return { ...sandbox, connectURL, token: await services.tokens.issue(row, callerOf(c)) };
}
