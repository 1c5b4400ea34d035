import { expect, test } from 'vitest';
import { Agent } from './agent.ts';
import { sendJson } from './testing/http-server.ts';
import { SessionServer } from './testing/session-server.ts';
import type { AgentEvent } from './agent-session.ts';

/** The events that come from an agent. */
function recorder() {
  const events: AgentEvent[] = [];
  const errors: string[] = [];
  const exits: number[] = [];
  return {
    events,
    errors,
    exits,
    callbacks: {
      onEvent: (event: AgentEvent) => events.push(event),
      onError: (text: string) => errors.push(text),
      onExit: (code: number) => exits.push(code),
    },
  };
}

test('starts with what is given, and sends lines of JSON', async () => {
  await using server = await SessionServer.start();
  const agent = await new Agent(server.api()).start({
    prompt: 'hi',
    maxTurns: 3,
    mcpServers: { tools: { command: 'node', args: ['x.js'] } },
  });
  await agent.configure({ model: 'm' });
  await agent.sendPrompt('more\nlines');
  await agent.interrupt();
  expect(String(server.session.stdin)).toBe(
    '{"type":"configure","model":"m"}\n{"type":"prompt","text":"more\\nlines"}\n{"type":"interrupt"}\n',
  );
  await agent.kill(15);
  agent.close();
  expect(await agent.done).toBe(-1);
  expect(server.seen.map(({ path, body }) => [path, JSON.parse(String(body))])).toEqual([
    [
      '/api/sandboxes/sb-1/agent',
      { prompt: 'hi', maxTurns: 3, mcpServers: { tools: { command: 'node', args: ['x.js'] } } },
    ],
    ['/api/sandboxes/sb-1/agent/abcd1234/kill', { signal: 15 }],
  ]);
});

test('reads events from lines in any pieces, and tells the rest apart', async () => {
  await using server = await SessionServer.start();
  const seen = recorder();
  const agent = await new Agent(server.api()).attach('abcd1234', seen.callbacks);
  const bytes = Buffer.from(
    '{"type":"ready"}\n\n  {"type":"assistant","message":{"text":"hé\u{1f600}"}}\r\nnot json\n[1]\nnull\n"text"\n{"no":"type"}\n{"type":"last"}',
  );
  for (const byte of bytes) server.session.print(Buffer.of(byte));
  server.session.print('diagnosis', 2);
  server.session.exit(0);
  expect(await agent.done).toBe(0);
  expect(seen.events).toEqual([
    { type: 'ready' },
    { type: 'assistant', message: { text: 'hé\u{1f600}' } },
    { type: '', no: 'type' },
    { type: 'last' },
  ]);
  expect(seen.errors).toEqual([
    'non-JSON stdout: not json',
    'non-JSON stdout: [1]',
    'non-JSON stdout: null',
    'non-JSON stdout: "text"',
    'diagnosis',
  ]);
  expect(seen.exits).toEqual([0]);
});

test('has the events so far when it attaches, and goes on after a lost connection', async () => {
  await using server = await SessionServer.start();
  server.session.print('{"type":"ready"}\n{"type":"ass');
  const seen = recorder();
  const agent = await new Agent(server.api()).attach('abcd1234', seen.callbacks);
  await expect.poll(() => agent.offset).toBe(29);
  server.session.cut();
  server.session.print('istant"}\n');
  await expect.poll(() => seen.events).toEqual([{ type: 'ready' }, { type: 'assistant' }]);
  agent.close();
});

test('a line without end is dropped before it fills the memory', async () => {
  await using server = await SessionServer.start();
  const seen = recorder();
  const agent = await new Agent(server.api()).attach('abcd1234', seen.callbacks);
  const piece = Buffer.alloc(1024 * 1024, 'x');
  for (let count = 0; count < 40; count += 1) server.session.print(piece);
  server.session.print('\n{"type":"next"}\n');
  await expect.poll(() => seen.events, { timeout: 10_000 }).toEqual([{ type: 'next' }]);
  expect(seen.errors).toEqual([expect.stringContaining('a line of more than')]);
  agent.close();
});

test('lists agents', async () => {
  const list = [{ sessionID: 'abcd1234', sandboxID: 'sb-1', running: true }];
  await using server = await SessionServer.start({
    handle: (_request, response) => sendJson(response, 200, list),
  });
  expect(await new Agent(server.api()).list()).toEqual(list);
});
