import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import type { Configuration } from './configuration.ts';
import type { Diagnose } from './diagnostics.ts';
import type { AgentMessage } from './events.ts';
import { grandchildrenOf, killLeft, type Process } from './processes.ts';

/** What we use of the package `@anthropic-ai/claude-agent-sdk`. */
export interface AgentSdk {
  query(request: { prompt: AsyncIterable<unknown>; options: Record<string, unknown> }): AgentQuery;
}

/** A running query: its messages, and a way to stop it. */
export interface AgentQuery extends AsyncIterable<AgentMessage> {
  interrupt(): Promise<unknown>;
}

/** One attempt at a turn. */
export interface Attempt {
  text: string;
  configuration: Configuration;
  /** Session to continue. */
  resume: string | undefined;
  /** Aborted when the turn is to be interrupted. */
  interrupt: AbortSignal;
}

/** A turn that cannot begin, with this session or another. */
export class SetupError extends Error {}

/** Runs one attempt; yields the agent's messages. @throws SetupError, and what the agent fails with */
export type RunAgent = (attempt: Attempt) => AsyncIterable<AgentMessage>;

const defaults = { model: 'claude-sonnet-4-20250514', permissionMode: 'bypassPermissions', maxTurns: 50 };

/** How long an agent may take to stop of itself before its process is ended. */
const stopGraceMs = 20_000;

/** Options of a query. */
export function queryOptions(
  configuration: Configuration,
  resume: string | undefined,
): Record<string, unknown> {
  const { resume: _once, ...given } = configuration;
  const options = { ...defaults, cwd: process.env['HOME'] ?? homedir(), ...given };
  return {
    ...options,
    ...(options.permissionMode === 'bypassPermissions' ? { allowDangerouslySkipPermissions: true } : {}),
    ...(resume === undefined ? {} : { resume }),
  };
}

/** A prompt as the agent's input, which stays open until `end`: only then can the query be interrupted. */
async function* inputOf(text: string, end: AbortSignal): AsyncGenerator {
  yield {
    type: 'user',
    message: { role: 'user', content: text },
    parent_tool_use_id: null,
    session_id: '',
  };
  if (!end.aborted) await once(end, 'abort');
}

async function checkDirectory(directory: string): Promise<void> {
  const found = await stat(directory).catch(() => undefined);
  if (found?.isDirectory() !== true)
    throw new SetupError(`cwd is not a directory: ${directory}. Make it first, or configure another`);
}

/**
 * Runs turns with the Claude Agent SDK. When one that was interrupted has ended, so have the commands that it ran:
 * an agent that is slow to stop, or whose command ignores what it is sent, would leave them behind.
 * @param graceMs milliseconds that the agent may take to stop of itself
 */
export function claude(sdk: Promise<AgentSdk>, diagnose: Diagnose, graceMs = stopGraceMs): RunAgent {
  return async function* run({ text, configuration, resume, interrupt }) {
    const options = queryOptions(configuration, resume);
    await checkDirectory(String(options['cwd']));
    const loaded = await sdk.catch((error: unknown) => {
      throw new SetupError(`the Claude Agent SDK cannot be loaded: ${(error as Error).message}`);
    });
    if (interrupt.aborted) return;
    const end = new AbortController();
    const kill = new AbortController();
    const query = loaded.query({
      prompt: inputOf(text, end.signal),
      options: { ...options, abortController: kill, stderr: diagnose },
    });
    let commands: Promise<Process[]> = Promise.resolve([]);
    const stop = async (): Promise<void> => {
      commands = grandchildrenOf(process.pid).catch((error: unknown) => {
        diagnose(`the commands of the agent cannot be listed: ${String(error)}`);
        return [];
      });
      // Once the agent has ended, nobody can tell which were its own.
      await commands;
      if (end.signal.aborted) return;
      const timer = setTimeout(() => kill.abort(), graceMs);
      end.signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
      await query.interrupt().catch((error: unknown) => {
        diagnose(`the agent could not be interrupted, ending it: ${String(error)}`);
        kill.abort();
      });
    };
    const interrupted = (): void => void stop();
    interrupt.addEventListener('abort', interrupted, { once: true });
    try {
      for await (const message of query) {
        if (message.type === 'result') end.abort();
        yield message;
      }
    } finally {
      interrupt.removeEventListener('abort', interrupted);
      end.abort();
      const kept = await killLeft(await commands);
      if (kept.length > 0)
        diagnose(`still running after the interruption: processes ${kept.map(({ pid }) => pid).join(', ')}`);
    }
  };
}
