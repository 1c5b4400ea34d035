// A model behind the Anthropic Messages API that does as it is told, so that agents can be tested without a model
// and a network. It runs inside a sandbox: one file, built-in modules only, types that strip.
//
//   node model-endpoint.mjs PORT LOG      LOG gets one JSON line per request
//
// What it answers depends on the newest message of the conversation alone:
//   run: COMMAND       asks for the tool Bash with this command
//   recall             every prompt of the conversation so far, as JSON
//   count              "1 2 3 ..." word by word, until the client goes away
//   a tool's result    "the tool said: RESULT"
//   anything else      "heard: TEXT"
import { appendFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

interface Block {
  type: string;
  text?: string;
  content?: string | Block[];
}

interface Message {
  role: string;
  content: string | Block[];
}

interface MessagesRequest {
  model: string;
  stream?: boolean;
  system?: string | Block[];
  tools?: { name: string }[];
  messages: Message[];
}

type Reply = { text: string } | { command: string } | { endless: true };

function blocksOf(content: string | Block[] | undefined): Block[] {
  if (content === undefined) return [];
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}

function textOf(content: string | Block[] | undefined): string {
  return blocksOf(content)
    .map((block) => block.text ?? '')
    .join('');
}

/** What people wrote, without what the agent adds to it. */
function promptsOf(messages: Message[]): string[] {
  return messages
    .filter(({ role }) => role === 'user')
    .flatMap(({ content }) => blocksOf(content))
    .filter(({ type, text }) => type === 'text' && text !== undefined && !text.startsWith('<'))
    .map(({ text }) => (text ?? '').trim());
}

function replyTo(request: MessagesRequest): Reply {
  const newest = request.messages.findLast(({ role }) => role === 'user');
  const result = blocksOf(newest?.content).find(({ type }) => type === 'tool_result');
  if (result !== undefined) return { text: `the tool said: ${textOf(result.content)}` };
  const prompts = promptsOf(request.messages);
  const prompt = prompts.at(-1) ?? '';
  if (prompt === 'recall') return { text: JSON.stringify(prompts) };
  if (prompt === 'count') return { endless: true };
  if (prompt.startsWith('run: ') && request.tools?.some(({ name }) => name === 'Bash'))
    return { command: prompt.slice('run: '.length) };
  return { text: `heard: ${prompt}` };
}

let replies = 0;
const usage = { input_tokens: 10, output_tokens: 10 };

function envelope(model: string, content: unknown[], stopReason: string | null) {
  return {
    id: `msg_${(replies += 1)}`,
    type: 'message',
    role: 'assistant',
    model,
    content,
    stop_reason: stopReason,
    stop_sequence: null,
    usage,
  };
}

async function stream(response: ServerResponse, request: MessagesRequest, reply: Reply): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const send = (type: string, fields: object) =>
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`);
  const command = 'command' in reply ? reply.command : undefined;
  const block =
    command === undefined
      ? { type: 'text', text: '' }
      : { type: 'tool_use', id: `toolu_${replies}`, name: 'Bash', input: {} };
  send('message_start', { message: envelope(request.model, [], null) });
  send('content_block_start', { index: 0, content_block: block });
  if ('endless' in reply) {
    for (let word = 1; !response.destroyed; word++) {
      send('content_block_delta', { index: 0, delta: { type: 'text_delta', text: `${word} ` } });
      // Real time: the pace of its words.
      await delay(100);
    }
    return;
  }
  const delta =
    command === undefined
      ? { type: 'text_delta', text: 'text' in reply ? reply.text : '' }
      : { type: 'input_json_delta', partial_json: JSON.stringify({ command, description: 'As told' }) };
  send('content_block_delta', { index: 0, delta });
  send('content_block_stop', { index: 0 });
  send('message_delta', {
    delta: { stop_reason: command === undefined ? 'end_turn' : 'tool_use', stop_sequence: null },
    usage,
  });
  send('message_stop', {});
  response.end();
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString('utf8') || 'null') as unknown;
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function handle(incoming: IncomingMessage, response: ServerResponse, log: string): Promise<void> {
  const path = (incoming.url ?? '').split('?')[0];
  const body = await readJson(incoming);
  if (incoming.method !== 'POST' || !path?.startsWith('/v1/messages')) {
    answer(response, 404, { type: 'error', error: { type: 'not_found_error', message: `no ${path}` } });
    return;
  }
  const request = body as MessagesRequest;
  const line = {
    path,
    key: incoming.headers['x-api-key'],
    model: request.model,
    tools: request.tools?.map(({ name }) => name),
    system: textOf(request.system),
    prompts: promptsOf(request.messages),
  };
  appendFileSync(log, `${JSON.stringify(line)}\n`);
  if (path.endsWith('/count_tokens')) {
    answer(response, 200, { input_tokens: 10 });
    return;
  }
  const reply = replyTo(request);
  if (request.stream === true) await stream(response, request, reply);
  else answer(response, 200, envelope(request.model, [{ type: 'text', text: 'ok' }], 'end_turn'));
}

const [port, log] = process.argv.slice(2);
if (port === undefined || log === undefined) throw new Error('usage: model-endpoint.mjs PORT LOG');
createServer((request, response) => {
  handle(request, response, log).catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    response.destroy();
  });
}).listen(Number(port), '127.0.0.1', () => process.stdout.write('listening\n'));
