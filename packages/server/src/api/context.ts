import type { Context } from 'hono';
import type { Forks } from '../checkpoints/forks.ts';
import type { CheckpointService } from '../checkpoints/service.ts';
import type { Authenticator } from '../auth/authenticator.ts';
import type { Caller } from '../auth/keys.ts';
import type { Revocations } from '../auth/revocations.ts';
import type { SandboxTokens } from '../auth/sandbox-tokens.ts';
import type { ClientPackages } from '../clients.ts';
import type { AgentSessions } from '../sessions/agents.ts';
import type { SessionService } from '../sessions/sessions.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Log } from '../observe/log.ts';
import type { Commands } from '../sandboxes/commands.ts';
import type { Machines } from '../sandboxes/machines.ts';
import type { Installation } from '../sandboxes/present.ts';
import type { Lifecycle } from '../sandboxes/lifecycle.ts';
import type { SandboxService } from '../sandboxes/service.ts';
import type { IdleClock } from '../sandboxes/idle-clock.ts';
import type { Store } from '../store/tables.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { EndpointId, ShapeLimits } from '@opencomputer/protocol';
import { type Every, everyInterval } from '../http/every.ts';

/** What handlers work with, each with a few of them. */
export interface Services {
  readonly store: Store;
  readonly authenticator: Authenticator;
  readonly tokens: SandboxTokens;
  readonly revocations: Revocations;
  readonly sandboxes: SandboxService;
  readonly lifecycle: Lifecycle;
  readonly commands: Commands;
  readonly idle: IdleClock;
  readonly machines: Machines;
  readonly checkpoints: CheckpointService;
  readonly forks: Forks;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly installation: Installation;
  readonly shape: ShapeLimits;
  readonly signingSecret: string;
  /** Scheme and host that clients reach us under, where it is configured. */
  readonly publicUrl: string | undefined;
  readonly agents: AgentSessions;
  readonly sessions: SessionService;
  readonly version: string;
  readonly clients: ClientPackages;
  readonly workers: Pick<WorkerRegistry, 'status'>;
  readonly stopping: () => boolean;
  readonly timing: ExecTiming;
}

/** Milliseconds of the waits that clients see. */
export interface ExecTiming {
  /** How long `run` holds its header back, and how often it pads afterwards. */
  readonly padMs: number;
  /** The clock of the padding. */
  readonly every: Every;
  /** How long `run-async` waits for an end. */
  readonly asyncMs: number;
  /** How long a poll waits for an end. */
  readonly pollMs: number;
}

export const defaultExecTiming: ExecTiming = {
  padMs: 10_000,
  every: everyInterval,
  asyncMs: 400,
  pollMs: 500,
};

interface Variables {
  requestId: string;
  /** The pattern of the route, for logs and metrics. */
  route: string;
  /** Which endpoint it is; undefined where the path is none of the API's. */
  endpoint: EndpointId | undefined;
  caller: Caller | undefined;
}

// oxlint-disable-next-line typescript/consistent-type-definitions -- Hono wants a type that is open to indexing.
export type ApiEnv = { Variables: Variables };
export type ApiContext = Context<ApiEnv>;
/** Answers a request, with those services only that it names. */
export type Handler<Needed extends keyof Services = never> = (
  c: ApiContext,
  services: Pick<Services, Needed>,
) => Promise<Response>;

/** Who makes the request. Only for routes that need a key. */
export function callerOf(c: ApiContext): Caller {
  const caller = c.get('caller');
  if (caller === undefined) throw new Error('this route does not authenticate');
  return caller;
}
