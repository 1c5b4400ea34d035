import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';

const main = new URL('main.ts', import.meta.url).pathname;

/** Runs `oc` against a server that answers everything with this error. @returns what it printed on standard error */
async function ocTold(error: string, ...flags: string[]): Promise<string> {
  const server = createServer((_, response) => {
    response.writeHead(400, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error, code: 'invalid_request', hint: error, requestId: error }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const env = {
    OPENCOMPUTER_API_URL: `http://127.0.0.1:${port}`,
    OPENCOMPUTER_API_KEY: 'k',
    HOME: '/nonexistent',
  };
  const args = ['--conditions=opencomputer-source', main, ...flags, 'ls'];
  return new Promise((resolve) =>
    execFile(process.execPath, args, { env }, (_, __, stderr) => resolve(stderr)),
  );
}

test('errors reach the terminal without what would control it', async () => {
  const evil = 'a\0b\u001b[31mc\u001b]0;title\u0007d\re\nf\u009b2Jg';
  const told = await ocTold(evil);
  expect(told).toContain('oc: a·b·[31mc·]0;title·d·e·f·2Jg');
  // eslint-disable-next-line no-control-regex
  expect(told.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
  expect((JSON.parse(await ocTold(evil, '--json')) as { error: string }).error).toContain(evil);
});
