import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** A line on stdout. Besides those the agent's own messages go out, which have other types and any fields. */
export type Event =
  | { type: 'ready' | 'configured' | 'interrupted' }
  | { type: 'turn_complete'; claude_session_id: string | null }
  | { type: 'error'; message: string }
  | AgentMessage;

/** A message of the Claude Agent SDK. */
export interface AgentMessage {
  type: string;
  session_id?: string;
  [field: string]: unknown;
}

/** What tells a message from others when its content is left out. */
const headFields = ['type', 'subtype', 'session_id', 'uuid', 'parent_tool_use_id'];

/**
 * One event as a line with its newline. A longer one than `maxBytes` loses its content, and says so in
 * `omitted_bytes`: a line that no client takes would take the connection with it.
 */
export function eventLine(event: Event, maxBytes: number): string {
  const line = `${JSON.stringify(event)}\n`;
  const bytes = Buffer.byteLength(line);
  if (bytes <= maxBytes) return line;
  const head = Object.entries(event).filter(([field]) => headFields.includes(field));
  return `${JSON.stringify({ ...Object.fromEntries(head), omitted_bytes: bytes })}\n`;
}

/** Sends an event; settles when the next one may be sent. */
export type Emit = (event: Event) => Promise<void>;

/** Writes events to a stream, one a line, no faster than the stream takes them. */
export function eventWriter(output: Writable, maxBytes: number): Emit {
  return async (event) => {
    if (!output.write(eventLine(event, maxBytes))) await once(output, 'drain');
  };
}
