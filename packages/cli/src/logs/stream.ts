import { OpenComputerError } from '@opencomputer/sdk';
import { LocalError } from '../output/errors.ts';
import type { App } from '../app.ts';

/** One line of the logs, as the API returns it. */
export interface LogEvent {
  _time: string;
  source: string;
  line: string;
  path?: string;
  exec_id?: string;
  command?: string;
  /** Of a command that has ended. */
  exit_code?: number;
}

/** No line of this protocol is longer. */
const longestLine = 1024 * 1024;

/**
 * The events of an answer, as they come.
 * @param hibernated called when the sandbox has hibernated, which ends the stream
 * @throws LocalError when the stream does not follow this protocol
 */
export async function* parseEvents(
  body: AsyncIterable<Uint8Array>,
  hibernated: () => void,
): AsyncGenerator<LogEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > longestLine) throw new LocalError('the server sends lines of log without an end');
    for (const line of lines) {
      // Other comments keep the connection alive.
      if (line === ': hibernated') hibernated();
      if (line.startsWith('data:')) yield parseEvent(line.slice('data:'.length));
    }
  }
}

function parseEvent(text: string): LogEvent {
  const value = JSON.parse(text) as LogEvent;
  if (typeof value.line === 'string' && typeof value._time === 'string') return value;
  throw new LocalError(`the server sent something else than a line of log: ${text.slice(0, 120)}`);
}

/** Opens the logs of a sandbox. @throws OpenComputerError when the server refuses or cannot be reached */
export async function* readLogs(
  app: App,
  sandboxId: string,
  query: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
  hibernated: () => void,
): AsyncGenerator<LogEvent> {
  // Reports "no such sandbox", "wrong key" and "no server" in the words of the client library.
  await app.connect(sandboxId);
  const base = app.settings.apiUrl.value
    .trim()
    .replace(/\/+$/, '')
    .replace(/\/api$/, '');
  const url = new URL(`${base}/api/sandboxes/${sandboxId}/logs`);
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) url.searchParams.set(name, value);
  const headers = { 'X-API-Key': app.settings.apiKey.value, Accept: 'text/event-stream' };
  const response = await fetch(url, { headers, signal, redirect: 'error' });
  if (!response.ok || response.body === null) throw await refusal(response);
  yield* parseEvents(response.body, hibernated);
}

async function refusal(response: Response): Promise<OpenComputerError> {
  const text = await response.text();
  const { error, code, hint } = parseBody(text);
  return new OpenComputerError(error ?? `the server answered ${response.status}`, {
    code: code ?? `http_${response.status}`,
    status: response.status,
    hint,
    requestId: response.headers.get('x-request-id') ?? undefined,
  });
}

function parseBody(text: string): { error?: string; code?: string; hint?: string } {
  try {
    return JSON.parse(text) as { error?: string };
  } catch {
    // A proxy in between may answer anything.
    return {};
  }
}
