import { randomBytes } from 'node:crypto';

declare const brand: unique symbol;

/** Id of a sandbox, and of the machine that runs it: `sb-` and 8 hex digits. */
export type SandboxId = string & { readonly [brand]: 'SandboxId' };
/** Id of a command started in a sandbox: 8 hex digits. */
export type ExecId = string & { readonly [brand]: 'ExecId' };

export const sandboxIdPattern = /^sb-[0-9a-f]{8}$/;
/** Ids of checkpoints and patches. */
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
export const execIdPattern = /^[0-9a-f]{8}$/;
/** Id of a writer of a session's input. The guest agent remembers it, so that it takes every byte once. */
export const attachClientPattern = /^[A-Za-z0-9_-]{1,64}$/;

/** A new random sandbox id. The store refuses duplicates; the caller tries again. */
export function newSandboxId(): SandboxId {
  return `sb-${randomBytes(4).toString('hex')}` as SandboxId;
}

/** A new random command id. */
export function newExecId(): ExecId {
  return randomBytes(4).toString('hex') as ExecId;
}

export function isSandboxId(text: string): text is SandboxId {
  return sandboxIdPattern.test(text);
}

export function isExecId(text: string): text is ExecId {
  return execIdPattern.test(text);
}

/** True for the id of a checkpoint or a patch. */
export function isUuid(text: string): boolean {
  return uuidPattern.test(text);
}
