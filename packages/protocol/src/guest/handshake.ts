import { z } from 'zod';
import { agentProtocol } from './guest-agent.ts';
import { text } from './text.ts';

/** What makes a restored machine itself. Everything that is given is applied before the answer. */
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

/** What a guest needs to get out through the network of its host. */
export interface Egress {
  /** Names the rest; empty when there is nothing. */
  digest: string;
  /** PEM blocks of certificates that the guest trusts beside its own. */
  certificates: readonly string[];
  /** Variables for every program of the guest. */
  environment: Readonly<Record<string, string>>;
}

export interface HandshakeRequest {
  protocol: typeof agentProtocol;
  epoch: string;
  identity?: Identity;
}

export const handshakeAnswerSchema = z.object({
  protocol: z.literal(agentProtocol),
  generation: z.number().int().min(1).max(1_000_000),
  version: text(64),
  epoch: text(64),
  bootId: text(64),
  uptimeMs: z.number().min(0),
  /** How long this process of the agent has run; older agents do not say it. */
  agentUptimeMs: z.number().min(0).optional(),
  init: z.enum(['systemd', 'agent']),
  memoryBytes: z.number().min(0),
  /** Digest of what the guest has of the host's network; absent in agents that know nothing of it. */
  egress: text(64).optional(),
});
export type HandshakeAnswer = z.infer<typeof handshakeAnswerSchema>;
