import type { ClientHttp2Session } from 'node:http2';
import { guestPaths, type Egress, type HandshakeAnswer } from '@opencomputer/protocol';
import { z } from 'zod';
import { callJson } from './request.ts';

const answerMs = 30_000;
/** Rebuilding the trust stores takes one second; twenty under emulation. */
const rebuildMs = 300_000;

/**
 * Sends a guest the settings of the host's network, unless it has them: guests from a template built with these
 * settings do, and so does everything saved from them. Older guest agents don't know this call and are left alone.
 * @param wait whether to wait for the trust stores derived from the system's bundle (hashed directory, Java)
 */
export async function bringEgress(
  session: ClientHttp2Session,
  agent: HandshakeAnswer,
  egress: Egress,
  wait: boolean,
): Promise<void> {
  if (agent.egress === undefined || agent.egress === egress.digest) return;
  await callJson(session, 'PUT', guestPaths.egress, z.object({}), {
    body: { ...egress, wait },
    deadlineMs: wait ? rebuildMs : answerMs,
  });
}
