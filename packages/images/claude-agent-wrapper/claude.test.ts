import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type AgentSdk, type Attempt, claude, queryOptions, SetupError } from './claude.ts';
import type { AgentMessage } from './events.ts';

type Request = Parameters<AgentSdk['query']>[0];

/** A package in place of the real one; the test decides what its queries do. */
function sdk(messages: (request: Request, interrupted: AbortSignal) => AsyncGenerator<AgentMessage>) {
  const requests: Request[] = [];
  const loaded: AgentSdk = {
    query: (request) => {
      requests.push(request);
      const interrupt = new AbortController();
      return Object.assign(messages(request, interrupt.signal), {
        interrupt: () => {
          interrupt.abort();
          return Promise.resolve();
        },
      });
    },
  };
  return { requests, loaded: Promise.resolve(loaded) };
}

function attempt(fields: Partial<Attempt> = {}): Attempt {
  return {
    text: 'hi',
    configuration: { cwd: '/' },
    resume: undefined,
    interrupt: new AbortController().signal,
    ...fields,
  };
}

function all(messages: AsyncIterable<AgentMessage>): Promise<AgentMessage[]> {
  return Readable.from(messages).toArray() as Promise<AgentMessage[]>;
}

const nothing = (): void => undefined;

/** A process that has ended and was not waited for yet has no command line any more. */
const commandOf = (pid: number): Promise<string> => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');

describe('options of a query', () => {
  it('have the documented defaults', () => {
    expect(queryOptions({}, undefined)).toEqual({
      model: 'claude-sonnet-4-20250514',
      permissionMode: 'bypassPermissions',
      allowDangerouslySkipPermissions: true,
      maxTurns: 50,
      cwd: process.env['HOME'],
    });
  });

  it('are those that were configured, and ask for permissions where told to', () => {
    const options = queryOptions({ model: 'm', permissionMode: 'plan', cwd: '/x', resume: 'used up' }, 's1');
    expect(options).toEqual({ model: 'm', permissionMode: 'plan', cwd: '/x', maxTurns: 50, resume: 's1' });
  });
});

describe('a query', () => {
  it('gets the prompt, and the end of its input with the result', async () => {
    const heard: unknown[] = [];
    const { loaded } = sdk(async function* ({ prompt }) {
      const input = prompt[Symbol.asyncIterator]();
      heard.push((await input.next()).value);
      yield { type: 'result' };
      heard.push((await input.next()).done);
    });
    const messages = await all(claude(loaded, nothing)(attempt()));
    expect(messages).toEqual([{ type: 'result' }]);
    expect(heard).toMatchObject([{ type: 'user', message: { role: 'user', content: 'hi' } }, true]);
  });

  it('is told to stop, and what it still says is passed on', async () => {
    const interrupt = new AbortController();
    const { loaded } = sdk(async function* (_request, interrupted) {
      yield { type: 'assistant' };
      if (!interrupted.aborted) await once(interrupted, 'abort');
      yield { type: 'result' };
    });
    const types: string[] = [];
    for await (const { type } of claude(loaded, nothing)(attempt({ interrupt: interrupt.signal }))) {
      types.push(type);
      interrupt.abort();
    }
    expect(types).toEqual(['assistant', 'result']);
  });

  it('leaves no command behind when it is interrupted, however deaf agent and command are', async () => {
    const interrupt = new AbortController();
    let command = 0;
    let background = 0;
    const { loaded } = sdk(async function* ({ options }) {
      // An agent whose command ignores signals that can be ignored, and which leaves a background process behind.
      const deaf = `trap '' TERM INT HUP; exec sleep 300`;
      const script = `(setsid sleep 300 & echo $!); setsid sh -c "$1" & echo $!; wait`;
      const agent = spawn('sh', ['-c', script, 'agent', deaf], { stdio: ['ignore', 'pipe', 'inherit'] });
      for await (const line of createInterface(agent.stdout)) {
        const pid = Number(line);
        if (background === 0) background = pid;
        else command = pid;
        if (command !== 0) break;
      }
      const { signal } = options['abortController'] as AbortController;
      yield { type: 'assistant' };
      if (!signal.aborted) await once(signal, 'abort');
      agent.kill();
      throw new Error('aborted');
    });
    const ended = async () => {
      for await (const _ of claude(loaded, nothing, 1)(attempt({ interrupt: interrupt.signal })))
        interrupt.abort();
    };
    await expect(ended()).rejects.toThrow('aborted');
    expect(await commandOf(command)).toBe('');
    expect(await commandOf(background)).toContain('sleep');
    process.kill(background);
  });

  it('is not begun where it was interrupted before', async () => {
    const { loaded, requests } = sdk(async function* () {
      yield { type: 'result' };
    });
    const messages = await all(claude(loaded, nothing)(attempt({ interrupt: AbortSignal.abort() })));
    expect(messages).toEqual([]);
    expect(requests).toEqual([]);
  });

  it('cannot begin without its directory or its package', async () => {
    const { loaded } = sdk(async function* () {
      yield { type: 'result' };
    });
    const homeless = claude(loaded, nothing)(attempt({ configuration: { cwd: '/no/such/place' } }));
    await expect(all(homeless)).rejects.toThrow(/^cwd is not a directory: \/no\/such\/place/);
    const absent = Promise.reject<AgentSdk>(new Error('not found'));
    absent.catch(nothing);
    const missing = claude(absent, nothing)(attempt());
    await expect(all(missing)).rejects.toThrow(SetupError);
  });
});
