import { agentEndpoints } from './agents.ts';
import { checkpointEndpoints } from './checkpoints.ts';
import { commandEndpoints } from './exec.ts';
import { fileEndpoints } from './files.ts';
import { logEndpoints } from './logs.ts';
import { patchEndpoints } from './patches.ts';
import { powerEndpoints } from './power.ts';
import { terminalEndpoints } from './pty.ts';
import { sandboxEndpoints } from './sandboxes.ts';
import { sessionEndpoints } from './sessions.ts';
import { systemEndpoints } from './system.ts';
import type { Endpoint } from './endpoint.ts';

/**
 * All endpoints of the public API. The server compares a request with them in this order: the paths of checkpoints come
 * first, since their second segment would otherwise be taken for the id of a sandbox.
 */
export const endpoints = {
  ...checkpointEndpoints,
  ...patchEndpoints,
  ...sandboxEndpoints,
  ...powerEndpoints,
  ...commandEndpoints,
  ...sessionEndpoints,
  ...terminalEndpoints,
  ...agentEndpoints,
  ...logEndpoints,
  ...fileEndpoints,
  ...systemEndpoints,
} as const satisfies Record<string, Endpoint>;

export type EndpointId = keyof typeof endpoints;
