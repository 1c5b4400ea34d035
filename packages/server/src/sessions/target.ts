import { isExecId, isSandboxId } from '@opencomputer/protocol';

/** What a WebSocket is asked for. */
export interface Target {
  readonly sandboxId: string;
  readonly sessionId: string;
  /** Frames of a session, or the raw bytes of a terminal. */
  readonly kind: 'exec' | 'pty';
  /** The pattern of the route, for logs and metrics. */
  readonly route: string;
}

const pattern = /^(?:\/api)?\/sandboxes\/([^/]+)\/(exec|pty|agent)\/([^/]+)$/;

/** Reads the path of an upgrade; undefined when there is no such route. */
export function readTarget(path: string): Target | undefined {
  const [, sandboxId = '', part = '', sessionId = ''] = pattern.exec(path) ?? [];
  if (part === '') return undefined;
  return {
    sandboxId,
    sessionId,
    kind: part === 'pty' ? 'pty' : 'exec',
    route: `/api/sandboxes/:id/${part}/:execId`,
  };
}

/** True when both ids could be ids. */
export function isPlausible({ sandboxId, sessionId }: Target): boolean {
  return isSandboxId(sandboxId) && isExecId(sessionId);
}
