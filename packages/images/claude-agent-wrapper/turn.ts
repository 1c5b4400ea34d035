import { type Attempt, type RunAgent, SetupError } from './claude.ts';
import type { Diagnose } from './diagnostics.ts';
import type { AgentMessage, Emit } from './events.ts';

export interface TurnContext {
  run: RunAgent;
  emit: Emit;
  diagnose: Diagnose;
}

/** How an attempt ended, and the session it was in. */
interface Outcome {
  session: string | undefined;
  /** A result was sent: the turn is over. */
  finished: boolean;
  /** The agent did or said something, so that the attempt must not be made again. */
  acted: boolean;
  error?: Error;
}

/**
 * Runs one turn: sends the agent's messages as they come, and at the end `turn_complete`, `interrupted` or
 * `error`. Where the session to continue cannot be loaded, the turn begins a new one.
 * @returns the session that the next turn continues
 * @throws only what `emit` fails with
 */
export async function runTurn(turn: Attempt, context: TurnContext): Promise<string | undefined> {
  let outcome = await attempt(turn, context);
  if (turn.resume !== undefined && !turn.interrupt.aborted && mayBeRepeated(outcome)) {
    const why = outcome.error?.message ?? 'it ended without a result';
    context.diagnose(`session ${turn.resume} could not be continued, starting a new one: ${why}`);
    outcome = await attempt({ ...turn, resume: undefined }, context);
  }
  const { finished, error } = outcome;
  const session = outcome.session ?? turn.resume;
  if (turn.interrupt.aborted || (error !== undefined && isInterruption(error)))
    await context.emit({ type: 'interrupted' });
  else if (error !== undefined) await context.emit({ type: 'error', message: error.message });
  else if (!finished) await context.emit({ type: 'error', message: 'the agent ended without a result' });
  else await context.emit({ type: 'turn_complete', claude_session_id: session ?? null });
  return session;
}

function mayBeRepeated({ finished, acted, error }: Outcome): boolean {
  return !finished && !acted && !(error instanceof SetupError);
}

async function attempt(turn: Attempt, { run, emit }: TurnContext): Promise<Outcome> {
  const outcome: Outcome = { session: turn.resume, finished: false, acted: false };
  // What the agent fails with ends the turn; what the client's side fails with ends everything.
  const messages = run(turn)[Symbol.asyncIterator]();
  for (;;) {
    let message: AgentMessage;
    try {
      const next = await messages.next();
      if (next.done === true) return outcome;
      message = next.value;
    } catch (error) {
      return { ...outcome, error: error instanceof Error ? error : new Error(String(error)) };
    }
    // A session that cannot be loaded is reported as a failed result, which the next attempt makes untrue.
    if (turn.resume !== undefined && !outcome.acted && isFailure(message)) continue;
    if (typeof message.session_id === 'string' && message.session_id !== '')
      outcome.session = message.session_id;
    if (message.type === 'assistant') outcome.acted = true;
    if (message.type === 'result') outcome.finished = true;
    await emit(message);
  }
}

function isFailure(message: AgentMessage): boolean {
  return message.type === 'result' && message['is_error'] === true;
}

function isInterruption(error: Error): boolean {
  return /abort|interrupt/i.test(`${error.name} ${error.message}`);
}
