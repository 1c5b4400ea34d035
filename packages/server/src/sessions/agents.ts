import { ApiError } from '@opencomputer/protocol';
import { KeyedLock } from '../keyed-lock.ts';
import { AttachedSession, type AttachingParts } from './attaching.ts';
import { sendInput } from './sending.ts';
import type { SessionService, StartedSession } from './sessions.ts';

/** How long a line waits for the lines before it. */
const turnMs = 20_000;

/** Agent sessions: sessions of one program, which is told what to do in lines of JSON. */
export class AgentSessions {
  readonly #sessions: SessionService;
  readonly #parts: AttachingParts;
  readonly #command: string;
  /** Lines of several callers do not run into each other. */
  readonly #turns = new KeyedLock();

  constructor(sessions: SessionService, parts: AttachingParts, command: string) {
    this.#sessions = sessions;
    this.#parts = parts;
    this.#command = command;
  }

  /** Starts the agent program and tells it `lines`. @throws ApiError like `SessionService.create` */
  async start(owner: string, sandboxId: string, lines: string): Promise<StartedSession> {
    const started = await this.#sessions.start(sandboxId, 'agent', [this.#command]);
    if (lines === '') return started;
    try {
      await this.write(owner, sandboxId, started.id, lines);
    } catch (error) {
      // One that ended at once says why to whoever attaches.
      if (!(error instanceof ApiError && error.code === 'session_ended')) throw error;
    }
    return started;
  }

  /** Writes to an agent program. @throws ApiError `exec_not_found`, `session_ended`, `guest_timeout` */
  async write(owner: string, sandboxId: string, sessionId: string, text: string): Promise<void> {
    const place = new AttachedSession(this.#parts, owner, sandboxId, sessionId);
    await this.#turns.hold(
      `${sandboxId}/${sessionId}`,
      async () => sendInput(await place.attach('end', true), Buffer.from(text)),
      turnMs,
    );
  }
}
