import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { scratchDirectory } from '../../testing/scratch.ts';

export const greeting = '{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": ["oob"]}}\r\n';

export interface Command {
  execute: string;
  arguments: Record<string, unknown>;
  id: number;
}

/** A monitor on a unix socket. `answer` is called for each command but the negotiation. */
export async function startMonitor(options: {
  greet?: (socket: Socket) => void;
  negotiate?: boolean;
  answer?: (command: Command, socket: Socket) => void;
}): Promise<{ path: string; seen: Command[]; sockets: Socket[] }> {
  const path = join(await scratchDirectory(), 'qmp.sock');
  const seen: Command[] = [];
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    if (options.greet === undefined) socket.write(greeting);
    else options.greet(socket);
    let text = '';
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) {
        const command = JSON.parse(line) as Command;
        seen.push(command);
        if (command.execute !== 'qmp_capabilities') options.answer?.(command, socket);
        else if (options.negotiate !== false) reply(socket, command.id, {});
      }
    });
  });
  server.listen(path);
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { path, seen, sockets };
}

/** Answers a command. */
export function reply(socket: Socket, id: number, value: unknown): void {
  socket.write(`${JSON.stringify({ return: value, id })}\n`);
}
