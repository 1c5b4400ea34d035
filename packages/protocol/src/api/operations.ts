import { agentOperations } from './agents.ts';
import { checkpointOperations } from './checkpoints.ts';
import { commandOperations } from './exec.ts';
import { fileOperations } from './files.ts';
import { logOperations } from './logs.ts';
import { patchOperations } from './patches.ts';
import { powerOperations } from './power.ts';
import { terminalOperations } from './pty.ts';
import { sandboxOperations } from './sandboxes.ts';
import { sessionOperations } from './sessions.ts';
import { systemOperations } from './system.ts';
import type { Operation } from './operation.ts';

/**
 * All routes of the public API. The server looks for the route of a request in this order: checkpoints have paths
 * whose second segment would else be taken for the id of a sandbox.
 */
export const operations = {
  ...checkpointOperations,
  ...patchOperations,
  ...sandboxOperations,
  ...powerOperations,
  ...commandOperations,
  ...sessionOperations,
  ...terminalOperations,
  ...agentOperations,
  ...logOperations,
  ...fileOperations,
  ...systemOperations,
} as const satisfies Record<string, Operation>;

export type OperationId = keyof typeof operations;
