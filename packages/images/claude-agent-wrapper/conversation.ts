import type { RunAgent } from './claude.ts';
import { type Command, CommandError, parseCommand } from './commands.ts';
import type { Configuration } from './configuration.ts';
import type { Diagnose } from './diagnostics.ts';
import type { Emit } from './events.ts';
import type { Line } from './lines.ts';
import { runTurn } from './turn.ts';

type Waiting = Exclude<Command, { type: 'interrupt' }>;

/** Prompts and configurations that may wait for the turn before them, and the bytes they may hold. */
const maxWaiting = { commands: 100, bytes: 32 * 1024 * 1024 };

export interface ConversationOptions {
  emit: Emit;
  diagnose: Diagnose;
  run: RunAgent;
}

/**
 * One conversation with an agent. Prompts and configurations are carried out one after the other, in the order
 * they come; an interrupt reaches the running turn at once.
 */
export class Conversation {
  readonly #emit: Emit;
  readonly #diagnose: Diagnose;
  readonly #run: RunAgent;
  readonly #waiting: { command: Waiting; bytes: number }[] = [];
  #waitingBytes = 0;
  #configuration: Configuration = {};
  /** Session of the newest message, which the next prompt continues. */
  #session: string | undefined;
  /** The running turn; aborting it interrupts it. */
  #turn: AbortController | undefined;
  #work: Promise<void> | undefined;

  constructor({ emit, diagnose, run }: ConversationOptions) {
    this.#emit = emit;
    this.#diagnose = diagnose;
    this.#run = run;
  }

  /**
   * Takes commands until there are no more and all are carried out.
   * @throws what `emit` fails with: nobody is listening any more
   */
  async take(lines: AsyncIterable<Line>): Promise<void> {
    for await (const line of lines) {
      try {
        if ('tooLong' in line) throw new CommandError('the line is too long: send a shorter one');
        await this.#accept(parseCommand(line.text), line.text.length);
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        await this.#emit({ type: 'error', message: error.message });
      }
    }
    await this.#work;
  }

  /** Stops the running turn, for the end of the process; what waits is forgotten. */
  async stop(): Promise<void> {
    this.#waiting.length = 0;
    this.#turn?.abort();
    await this.#work;
  }

  async #accept(command: Command, bytes: number): Promise<void> {
    if (command.type === 'interrupt') {
      await this.#interrupt();
      return;
    }
    if (this.#waiting.length >= maxWaiting.commands || this.#waitingBytes + bytes > maxWaiting.bytes)
      throw new CommandError('too many commands are waiting: wait for turn_complete before you send more');
    this.#waiting.push({ command, bytes });
    this.#waitingBytes += bytes;
    this.#work ??= this.#carryOut();
  }

  async #interrupt(): Promise<void> {
    if (this.#turn !== undefined) {
      this.#turn.abort();
      return;
    }
    // A prompt that waits for the answer to a configuration is the turn that the client means.
    const next = this.#waiting.findIndex(({ command }) => command.type === 'prompt');
    if (next >= 0) for (const { bytes } of this.#waiting.splice(next, 1)) this.#waitingBytes -= bytes;
    await this.#emit({ type: 'interrupted' });
  }

  async #carryOut(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#waitingBytes -= next.bytes;
      if (next.command.type === 'configure') {
        Object.assign(this.#configuration, next.command.configuration);
        await this.#emit({ type: 'configured' });
      } else await this.#prompt(next.command.text, next.command.resume);
    }
    this.#work = undefined;
  }

  async #prompt(text: string, resume: string | undefined): Promise<void> {
    const { resume: configured, ...configuration } = this.#configuration;
    // Only once: a later prompt goes on with the conversation that this one makes of it.
    delete this.#configuration.resume;
    this.#turn = new AbortController();
    try {
      this.#session = await runTurn(
        { text, configuration, resume: resume ?? configured ?? this.#session, interrupt: this.#turn.signal },
        { run: this.#run, emit: this.#emit, diagnose: this.#diagnose },
      );
    } finally {
      this.#turn = undefined;
    }
  }
}
