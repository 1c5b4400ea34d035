import type { ClientHttp2Session } from 'node:http2';
import { agentPaths, type Egress, type HandshakeAnswer } from '@opencomputer/protocol';
import { z } from 'zod';
import { callJson } from './request.ts';

const answerMs = 30_000;
/** Trust stores are rebuilt in a second; under emulation in twenty. */
const rebuildMs = 300_000;

/**
 * Gives a guest what it needs of the host's network, unless it has it: a guest does that is made from a template of
 * this setting, and whatever was saved later. Agents of before know nothing of it and are left as they are.
 * @param wait whether to wait for the stores that are made from the system's (hashed directory, Java)
 */
export async function bringEgress(
  session: ClientHttp2Session,
  agent: HandshakeAnswer,
  egress: Egress,
  wait: boolean,
): Promise<void> {
  if (agent.egress === undefined || agent.egress === egress.digest) return;
  await callJson(session, 'PUT', agentPaths.egress, z.object({}), {
    body: { ...egress, wait },
    deadlineMs: wait ? rebuildMs : answerMs,
  });
}
