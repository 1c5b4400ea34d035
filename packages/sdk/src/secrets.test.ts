import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { HttpClient } from './http.ts';
import { resolveConnection } from './config.ts';
import { Sandbox } from './sandbox.ts';
import { sendJson, TestServer, wireSandbox } from './testing/http-server.ts';
import { SessionServer } from './testing/session-server.ts';
import { Exec } from './exec.ts';
import { Pty } from './pty.ts';
import { Agent } from './agent.ts';

const apiKey = 'osb_the-key-itself';
const token = 'the-token-itself';

/** All ways to print an object, as thoroughly as possible. */
function shown(value: unknown): string[] {
  const everything = { depth: Infinity, showHidden: true };
  return [
    inspect(value),
    inspect(value, everything),
    inspect({ nested: [value] }, everything),
    inspect(value, { ...everything, customInspect: false }),
    String(value),
    JSON.stringify(value) ?? '',
    JSON.stringify({ ...(value as object) }),
  ];
}

function expectNoSecrets(value: unknown): void {
  for (const text of shown(value)) {
    expect(text).not.toContain(apiKey);
    expect(text).not.toContain(token);
  }
}

test('no object of a sandbox shows its key or its token', async () => {
  await using server = await TestServer.start((_request, response) =>
    sendJson(response, 200, { ...wireSandbox, token }),
  );
  const options = { apiUrl: server.url, apiKey };
  const sandbox = await Sandbox.connect('sb-0a1b2c3d', options);
  expect(sandbox.status).toBe('running');
  for (const value of [sandbox, sandbox.exec, sandbox.files, sandbox.pty, sandbox.agent, sandbox.info])
    expectNoSecrets(value);
  expectNoSecrets(Sandbox.list(options));
  expectNoSecrets(new HttpClient(resolveConnection(options)));
});

test('a sandbox shows its id and its state', async () => {
  await using server = await TestServer.start((_request, response) => sendJson(response, 200, wireSandbox));
  const sandbox = await Sandbox.connect('sb-0a1b2c3d', { apiUrl: server.url });
  expect(inspect(sandbox)).toBe('<Sandbox sb-0a1b2c3d running>');
  expect(String(sandbox)).toBe('<Sandbox sb-0a1b2c3d running>');
  expect(JSON.parse(JSON.stringify(sandbox))).toMatchObject({
    sandboxId: 'sb-0a1b2c3d',
    status: 'running',
    metadata: { project: 'x' },
  });
});

test('no session shows them, nor an error', async () => {
  await using server = await SessionServer.start();
  const api = server.api({ apiKey }, token);
  const exec = new Exec(api.http, '/sandboxes/sb-1', api);
  expectNoSecrets(await exec.start('x'));
  expectNoSecrets(await exec.shell());
  expectNoSecrets(await new Pty(api).create());
  expectNoSecrets(await new Agent(api).start());
  await using refusing = await TestServer.start((_request, response) =>
    sendJson(response, 401, { error: 'the key is not valid', code: 'unauthorized', hint: '' }),
  );
  const failure = await Sandbox.connect('sb-1', { apiUrl: refusing.url, apiKey }).catch(
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(Error);
  expectNoSecrets(failure);
});
