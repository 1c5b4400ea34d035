import { checkOptions } from './check-options.ts';
import { pages } from './checkpoints.ts';
import { optionNames } from './option-names.ts';
import type { RequestOptions } from './config.ts';
import type { HttpClient } from './http.ts';
import type { WireEvent } from './wire.ts';

/** Something that happened to a sandbox. */
export interface SandboxEvent {
  id: number;
  time: Date;
  actor: 'client' | 'system';
  /** What happened, such as `hibernate`. */
  kind: string;
  reason: string | undefined;
}

/** See `Sandbox.events`. */
export async function* events(
  http: HttpClient,
  path: string,
  options: Pick<RequestOptions, 'signal'>,
): AsyncGenerator<SandboxEvent> {
  checkOptions('events', options, optionNames.events);
  for await (const event of pages<WireEvent>(http, `${path}/events`, options.signal))
    yield { ...event, time: new Date(event.time), reason: event.reason };
}
