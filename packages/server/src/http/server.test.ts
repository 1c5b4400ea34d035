import { connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { listen } from './server.ts';

test('a header that never ends is cut off, and the client is told', async () => {
  const server = await listen({ host: '127.0.0.1', port: 0 }, { headerMs: 100, lookMs: 20 });
  onTestFinished(() => server.close(0));
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  socket.write('GET /health HTTP/1.1\r\nhost: x\r\n');
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  expect(answer).toContain('invalid_request');
});
