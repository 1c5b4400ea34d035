import type { ServerResponse } from 'node:http';
import type { MachineEvent } from '@opencomputer/protocol';
import type { Routes } from './router.ts';

const heartbeatMs = 10_000;
const streamsMax = 16;

/**
 * Reports to listeners what happens to machines. A listener that connects late reads the list of machines for what it
 * missed.
 */
export class EventStreams {
  readonly #streams = new Set<ServerResponse>();
  readonly #timer = setInterval(() => this.publish({ type: 'heartbeat' }), heartbeatMs).unref();

  publish(event: MachineEvent): void {
    const line = `${JSON.stringify(event)}\n`;
    for (const stream of this.#streams) stream.write(line);
  }

  routes(): Routes {
    return {
      'GET /v1/events': ({ response }) => {
        const [oldest] = this.#streams;
        if (this.#streams.size >= streamsMax) oldest?.destroy();
        response.writeHead(200, { 'content-type': 'application/x-ndjson' });
        response.write(`${JSON.stringify({ type: 'hello' } satisfies MachineEvent)}\n`);
        this.#streams.add(response);
        response.once('close', () => this.#streams.delete(response));
      },
    };
  }

  close(): void {
    clearInterval(this.#timer);
    for (const stream of this.#streams) stream.destroy();
  }
}
