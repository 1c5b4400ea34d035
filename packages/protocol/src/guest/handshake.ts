import { z } from 'zod';
import { guestProtocol } from './guest-agent.ts';
import { text } from './text.ts';

/** The identity of a restored machine. Every given field is applied before the answer. */
export interface Identity {
  /** Unix time in nanoseconds, decimal. */
  clockUnixNs?: string;
  /** 32 to 512 random bytes, base64. */
  entropy?: string;
  hostname?: string;
  /** 32 hex digits. */
  machineId?: string;
  env?: Record<string, string>;
}

/** The settings that a guest needs to reach the internet through its host's network. */
export interface Egress {
  /** Digest of the other fields; empty when there are none. */
  digest: string;
  /** PEM blocks of certificates that the guest trusts in addition to its own. */
  certificates: readonly string[];
  /** Variables for all programs of the guest. */
  environment: Readonly<Record<string, string>>;
}

export interface HandshakeRequest {
  protocol: typeof guestProtocol;
  epoch: string;
  identity?: Identity;
}

export const handshakeAnswerSchema = z.object({
  protocol: z.literal(guestProtocol),
  generation: z.number().int().min(1).max(1_000_000),
  version: text(64),
  epoch: text(64),
  bootId: text(64),
  uptimeMs: z.number().min(0),
  /** How long this process of the guest agent has run; absent in older ones. */
  agentUptimeMs: z.number().min(0).optional(),
  init: z.enum(['systemd', 'agent']),
  memoryBytes: z.number().min(0),
  /** Digest of the guest's settings of its host's network; absent in guest agents that have none. */
  egress: text(64).optional(),
});
export type HandshakeAnswer = z.infer<typeof handshakeAnswerSchema>;
