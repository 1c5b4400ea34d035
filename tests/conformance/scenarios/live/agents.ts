import { expect } from 'vitest';
import { failure, request } from '../../raw-api.ts';
import { patience } from './recorder.ts';
import { installStandIn } from './stand-in.ts';
import type { AgentEvent, AgentListeners } from '../../clients/live.ts';
import type { Scenario } from '../scenario.ts';

/** What an agent has told. */
function listener(): Required<AgentListeners> & {
  events: AgentEvent[];
  readonly types: string[];
  readonly errors: string;
  exits: number[];
  scrollbackEnds: number[];
} {
  const events: AgentEvent[] = [];
  const exits: number[] = [];
  const scrollbackEnds: number[] = [];
  let errors = '';
  const callbacks = {
    onEvent: (event: AgentEvent) => events.push(event),
    onError: (text: string) => {
      errors += text;
    },
    onExit: (code: number) => exits.push(code),
    onScrollbackEnd: () => scrollbackEnds.push(events.length),
  };
  // Not enumerable: what was heard is no option of the call that the callbacks are given to.
  return Object.defineProperties(callbacks, {
    events: { value: events },
    types: { get: () => events.map(({ type }) => type) },
    errors: { get: () => errors },
    exits: { value: exits },
    scrollbackEnds: { value: scrollbackEnds },
  }) as typeof callbacks & Omit<ReturnType<typeof listener>, keyof typeof callbacks>;
}

const turn = ['assistant', 'result', 'turn_complete'];

export const agentScenarios: Scenario[] = [
  {
    name: 'an agent is configured, prompted, and lives on for the next prompt',
    async run({ sandbox }) {
      await installStandIn(sandbox);
      const heard = listener();
      const agent = await sandbox.agent.start({
        prompt: '!echo $FROM_SANDBOX',
        model: 'some-model',
        ...heard,
      });
      await expect.poll(() => heard.types, patience).toEqual(['ready', 'configured', ...turn]);
      expect(heard.events[3]).toMatchObject({ result: 'sandbox\n', model: 'some-model' });
      expect(heard.events[4]).toEqual({ type: 'turn_complete', claude_session_id: 'conversation-1' });
      expect(heard.errors).toBe('[stand-in] begins\n');
      agent.configure({ model: 'another' });
      agent.sendPrompt('second\nprompt');
      await expect.poll(() => heard.types.slice(5), patience).toEqual(['configured', ...turn]);
      expect(heard.events[7]).toMatchObject({ result: 'second\nprompt', model: 'another' });
      await agent.kill();
      expect(await agent.done).toBe(137);
    },
  },
  {
    name: 'an agent is interrupted in the middle of a turn',
    async run({ sandbox }) {
      await installStandIn(sandbox);
      const heard = listener();
      const agent = await sandbox.agent.start(heard);
      await expect.poll(() => heard.types, patience).toEqual(['ready']);
      agent.interrupt();
      await expect.poll(() => heard.types.slice(1), patience).toEqual(['interrupted']);
      agent.sendPrompt('wait');
      agent.interrupt();
      await expect.poll(() => heard.types.slice(2), patience).toEqual(['interrupted']);
      agent.sendPrompt('after');
      await expect.poll(() => heard.types.slice(3), patience).toEqual(turn);
      await agent.kill(9);
      expect(await agent.done).toBe(137);
    },
  },
  {
    name: 'who attaches to an agent has its history, and may go on with it',
    async run({ sandbox }) {
      await installStandIn(sandbox);
      const first = listener();
      const agent = await sandbox.agent.start({ prompt: 'one', ...first });
      await expect.poll(() => first.types, patience).toEqual(['ready', ...turn]);
      agent.close();
      const second = listener();
      const again = await sandbox.agent.attach(agent.sessionId, second);
      await expect.poll(() => second.scrollbackEnds, patience).toEqual([4]);
      expect(second.events).toEqual(first.events);
      again.sendPrompt('two');
      await expect.poll(() => second.types.slice(4), patience).toEqual(turn);
      expect(
        (await sandbox.agent.list()).find(({ sessionID }) => sessionID === agent.sessionId),
      ).toMatchObject({
        running: true,
      });
      await again.kill();
      await again.done;
    },
    cannot: { 'published-python': 'it does not tell where the history ends' },
  },
  {
    name: 'an unknown agent cannot be attached to',
    async run({ sandbox }) {
      await expect(sandbox.agent.attach('00000000').then(({ done }) => done)).rejects.toThrow();
    },
    cannot: { 'published-typescript': 'it attaches to an unknown agent without an error' },
  },
  {
    name: 'an agent takes prompts and interrupts over plain HTTP',
    async run({ sandbox }) {
      await installStandIn(sandbox);
      const heard = listener();
      const agent = await sandbox.agent.start(heard);
      const path = `/api/sandboxes/${sandbox.sandboxId}/agent/${agent.sessionId}`;
      expect((await request('POST', `${path}/prompt`, { json: { text: 'wait' } })).status).toBe(204);
      expect((await request('POST', `${path}/interrupt`)).status).toBe(204);
      await expect.poll(() => heard.types, patience).toEqual(['ready', 'interrupted']);
      expect((await request('POST', `${path}/prompt`, { json: {} })).status).toBe(400);
      const unknown = `/api/sandboxes/${sandbox.sandboxId}/agent/00000000`;
      expect((await request('POST', `${unknown}/prompt`, { json: { text: 'x' } })).status).toBe(404);
      expect((await request('POST', `${unknown}/interrupt`)).status).toBe(404);
      await failure(sandbox.exec.kill('00000000'), 404);
      await agent.kill();
      expect(await agent.done).toBe(137);
    },
  },
];
