import { describe, expect, it } from 'vitest';
import { type Attempt, type RunAgent, SetupError } from './claude.ts';
import { Conversation } from './conversation.ts';
import type { AgentMessage, Event } from './events.ts';
import type { Line } from './lines.ts';

type Script = (attempt: Attempt, count: number) => AsyncIterable<AgentMessage>;

const message = (type: string, session: string, fields: object = {}): AgentMessage => ({
  type,
  session_id: session,
  ...fields,
});

/** An agent that answers in session s1, or in the one it is to continue. */
async function* answering({ resume = 's1' }: Attempt): AsyncGenerator<AgentMessage> {
  yield message('assistant', resume);
  yield message('result', resume, { subtype: 'success', is_error: false });
}

/** Runs a conversation with an agent that the test controls; lines may wait for events. */
async function converse(
  script: Script,
  input: (command: (value: unknown) => Line, until: (type: string) => Promise<void>) => AsyncIterable<Line>,
) {
  const events: Event[] = [];
  const attempts: Attempt[] = [];
  const diagnostics: string[] = [];
  let changed = Promise.withResolvers<void>();
  const until = async (type: string): Promise<void> => {
    while (!events.some((event) => event.type === type)) await changed.promise;
  };
  const run: RunAgent = (attempt) => script(attempt, attempts.push(attempt));
  const conversation = new Conversation({
    emit: (event) => {
      events.push(event);
      changed.resolve();
      changed = Promise.withResolvers();
      return Promise.resolve();
    },
    diagnose: (text) => diagnostics.push(text),
    run,
  });
  await conversation.take(input((value) => ({ text: JSON.stringify(value) }), until));
  return { events, types: events.map(({ type }) => type), attempts, diagnostics };
}

/** A conversation of commands that are all sent at once. */
function sendAll(script: Script, ...commands: unknown[]) {
  return converse(script, async function* (command) {
    for (const value of commands) yield command(value);
  });
}

const prompt = { type: 'prompt', text: 'hi' };
const turn = ['assistant', 'result', 'turn_complete'];

describe('a conversation', () => {
  it('carries out commands in their order and goes on in one session', async () => {
    const { types, events, attempts } = await sendAll(
      answering,
      { type: 'configure', model: 'm', maxTurns: 1 },
      prompt,
      { type: 'configure', maxTurns: 2 },
      { type: 'prompt', text: 'again' },
    );
    expect(types).toEqual(['configured', ...turn, 'configured', ...turn]);
    expect(events.findLast(({ type }) => type === 'turn_complete')).toEqual({
      type: 'turn_complete',
      claude_session_id: 's1',
    });
    expect(attempts.map(({ text, resume, configuration }) => ({ text, resume, configuration }))).toEqual([
      { text: 'hi', resume: undefined, configuration: { model: 'm', maxTurns: 1 } },
      { text: 'again', resume: 's1', configuration: { model: 'm', maxTurns: 2 } },
    ]);
  });

  it('continues the session of the prompt, else of the configuration, once, else its own', async () => {
    const { attempts } = await sendAll(
      answering,
      { type: 'configure', resume: 'configured' },
      { ...prompt, resume: 'prompted' },
      prompt,
      { type: 'configure', resume: 'again' },
      prompt,
      prompt,
    );
    expect(attempts.map(({ resume }) => resume)).toEqual(['prompted', 'prompted', 'again', 'again']);
  });

  it('survives what is not a command', async () => {
    const { events, types } = await converse(answering, async function* (command) {
      yield { text: 'not json' };
      yield command({ type: 'dance' });
      yield command({ type: 'prompt', text: '' });
      yield { tooLong: true };
      yield command(prompt);
    });
    expect(types).toEqual(['error', 'error', 'error', 'error', ...turn]);
    expect(events.slice(0, 4)).toEqual(
      [
        'invalid JSON input',
        'unknown command type: dance',
        'prompt text is required',
        'the line is too long: send a shorter one',
      ].map((text) => ({ type: 'error', message: text })),
    );
  });

  it('takes no more than it can hold while a turn runs', async () => {
    const gate = Promise.withResolvers<void>();
    const { types } = await converse(
      async function* (attempt) {
        await gate.promise;
        yield* answering(attempt);
      },
      async function* (command) {
        for (let count = 0; count < 103; count++) yield command(prompt);
        gate.resolve();
      },
    );
    // One runs and a hundred wait.
    expect(types.filter((type) => type === 'error')).toHaveLength(2);
    expect(types.filter((type) => type === 'turn_complete')).toHaveLength(101);
  });
});

describe('an interrupt', () => {
  it('is answered at once where nothing runs', async () => {
    const { types } = await sendAll(answering, { type: 'interrupt' });
    expect(types).toEqual(['interrupted']);
  });

  it('reaches the turn that runs, and none that waits', async () => {
    const { types, attempts } = await converse(
      async function* (attempt, count) {
        if (count > 1) return yield* answering(attempt);
        yield message('assistant', 's1');
        await new Promise((resolve) => attempt.interrupt.addEventListener('abort', resolve));
        yield message('result', 's1', { is_error: true });
        throw new Error('an error result');
      },
      async function* (command, until) {
        yield command(prompt);
        yield command({ type: 'prompt', text: 'next' });
        await until('assistant');
        yield command({ type: 'interrupt' });
      },
    );
    expect(types).toEqual(['assistant', 'result', 'interrupted', ...turn]);
    expect(attempts.map(({ text, resume }) => ({ text, resume }))).toEqual([
      { text: 'hi', resume: undefined },
      { text: 'next', resume: 's1' },
    ]);
  });

  it('that overtakes the beginning of a turn ends it all the same', async () => {
    const { types } = await sendAll(
      async function* (attempt) {
        if (!attempt.interrupt.aborted)
          await new Promise((resolve) => attempt.interrupt.addEventListener('abort', resolve));
        yield* [];
      },
      prompt,
      { type: 'interrupt' },
    );
    expect(types).toEqual(['interrupted']);
  });
});

describe('an interrupt of a prompt that has not begun', () => {
  it('takes it back', async () => {
    const written = Promise.withResolvers<void>();
    const types: string[] = [];
    const conversation = new Conversation({
      emit: async ({ type }) => {
        types.push(type);
        if (type === 'configured') await written.promise;
      },
      diagnose: () => undefined,
      run: answering,
    });
    async function* lines(): AsyncGenerator<Line> {
      for (const value of [{ type: 'configure' }, prompt, { type: 'interrupt' }, prompt])
        yield { text: JSON.stringify(value) };
      written.resolve();
    }
    await conversation.take(lines());
    expect(types).toEqual(['configured', 'interrupted', ...turn]);
  });
});

describe('a turn that fails', () => {
  it('says why, and the next one continues the session', async () => {
    const { types, events, attempts } = await sendAll(
      async function* (attempt, count) {
        yield* answering(attempt);
        if (count === 1) throw new Error('no such model');
      },
      prompt,
      prompt,
    );
    expect(types).toEqual(['assistant', 'result', 'error', ...turn]);
    expect(events[2]).toEqual({ type: 'error', message: 'no such model' });
    expect(attempts[1]?.resume).toBe('s1');
  });

  it('is interrupted where its error says so', async () => {
    const { types } = await sendAll(async function* () {
      yield message('assistant', 's1');
      throw new Error('The operation was aborted');
    }, prompt);
    expect(types).toEqual(['assistant', 'interrupted']);
  });

  it('without a result is an error', async () => {
    const { events } = await sendAll(async function* () {
      yield message('assistant', 's1');
    }, prompt);
    expect(events.at(-1)).toEqual({ type: 'error', message: 'the agent ended without a result' });
  });
});

describe('a session that cannot be continued', () => {
  const failing: Script = async function* (attempt) {
    if (attempt.resume === 'lost') {
      yield message('result', 'lost', { is_error: true });
      throw new Error('No conversation found');
    }
    yield* answering(attempt);
  };

  it('is replaced by a new one, once, and the failure is not sent', async () => {
    const { types, attempts, diagnostics } = await sendAll(failing, { ...prompt, resume: 'lost' }, prompt);
    expect(types).toEqual([...turn, ...turn]);
    expect(attempts.map(({ resume }) => resume)).toEqual(['lost', undefined, 's1']);
    expect(diagnostics.join()).toContain('session lost could not be continued');
  });

  it('is an error where the new one fails too', async () => {
    const { types, attempts } = await sendAll(
      // oxlint-disable-next-line require-yield -- fails before its first message
      async function* () {
        throw new Error('broken');
      },
      { ...prompt, resume: 'lost' },
    );
    expect(types).toEqual(['error']);
    expect(attempts.map(({ resume }) => resume)).toEqual(['lost', undefined]);
  });

  it('is not what fails where the agent has begun to work, or could not begin at all', async () => {
    const worked = await sendAll(
      async function* () {
        yield message('assistant', 's1');
        throw new Error('connection lost');
      },
      { ...prompt, resume: 's1' },
    );
    expect(worked.types).toEqual(['assistant', 'error']);
    expect(worked.attempts).toHaveLength(1);
    const unable = await sendAll(
      // oxlint-disable-next-line require-yield -- fails before its first message
      async function* () {
        throw new SetupError('no such directory');
      },
      { ...prompt, resume: 's1' },
      prompt,
    );
    expect(unable.types).toEqual(['error', 'error']);
    expect(unable.attempts.map(({ resume }) => resume)).toEqual(['s1', 's1']);
  });
});
