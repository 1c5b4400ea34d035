import { beforeAll, afterAll, describe, expect, test } from 'vitest';
import { InvalidRequestError } from './errors.ts';
import { Pty } from './pty.ts';
import { Agent } from './agent.ts';
import { Sandbox } from './sandbox.ts';
import { sendJson, TestServer, wireSandbox } from './testing/http-server.ts';
import { SessionServer } from './testing/session-server.ts';

/** Called as from plain JavaScript, where types are not checked. */
type Call = (sandbox: Sandbox, options: never) => unknown;

const id = '00000000-0000-4000-8000-000000000000';
let server: TestServer;
let sandbox: Sandbox;
beforeAll(async () => {
  server = await TestServer.start((_request, response) => sendJson(response, 200, wireSandbox));
  sandbox = await Sandbox.connect('sb-0a1b2c3d', { apiUrl: server.url });
  server.seen.length = 0;
});
afterAll(() => server[Symbol.asyncDispose]());

const calls: Record<string, Call> = {
  'Sandbox.create': (_, options) => Sandbox.create(options),
  'Sandbox.connect': (_, options) => Sandbox.connect('sb-1', options),
  'Sandbox.list': (_, options) => Sandbox.list(options),
  'Sandbox.createFromCheckpoint': (_, options) => Sandbox.createFromCheckpoint(id, options),
  'Sandbox.forkCheckpoint': (_, options) => Sandbox.forkCheckpoint(id, options),
  'Sandbox.createCheckpointPatch': (_, options) => Sandbox.createCheckpointPatch(id, options),
  'Sandbox.listCheckpointPatches': (_, options) => Sandbox.listCheckpointPatches(id, options),
  'Sandbox.deleteCheckpointPatch': (_, options) => Sandbox.deleteCheckpointPatch(id, id, options),
  'Sandbox.listAllCheckpoints': (_, options) => Sandbox.listAllCheckpoints(options).next(),
  'Sandbox.publishCheckpoint': (_, options) => Sandbox.publishCheckpoint(id, options),
  'Sandbox.unpublishCheckpoint': (_, options) => Sandbox.unpublishCheckpoint(id, options),
  'sandbox.fork': (box, options) => box.fork(options),
  isRunning: (box, options) => box.isRunning(options),
  setTimeout: (box, options) => box.setTimeout(1, options),
  kill: (box, options) => box.kill(options),
  downloadUrl: (box, options) => box.downloadUrl('a', options),
  uploadUrl: (box, options) => box.uploadUrl('a', options),
  hibernate: (box, options) => box.hibernate(options),
  wake: (box, options) => box.wake(options),
  reboot: (box, options) => box.reboot(options),
  powerCycle: (box, options) => box.powerCycle(options),
  createCheckpoint: (box, options) => box.createCheckpoint('a', options),
  listCheckpoints: (box, options) => box.listCheckpoints(options),
  restoreCheckpoint: (box, options) => box.restoreCheckpoint(id, options),
  deleteCheckpoint: (box, options) => box.deleteCheckpoint(id, options),
  events: (box, options) => box.events(options).next(),
  'exec.run': (box, options) => box.exec.run('ls', options),
  'exec.wait': (box, options) => box.exec.wait('ffffffff', options),
  'exec.start': (box, options) => box.exec.start('ls', options),
  'exec.attach': (box, options) => box.exec.attach('ffffffff', options),
  'exec.list': (box, options) => box.exec.list(options),
  'exec.kill': (box, options) => box.exec.kill('ffffffff', 9, options),
  'exec.shell': (box, options) => box.exec.shell(options),
  'exec.reattachShell': (box, options) => box.exec.reattachShell('ffffffff', options),
  'files.read': (box, options) => box.files.read('a', options),
  'files.readBytes': (box, options) => box.files.readBytes('a', options),
  'files.readStream': (box, options) => box.files.readStream('a', options),
  'files.write': (box, options) => box.files.write('a', 'b', options),
  'files.list': (box, options) => box.files.list('/', options),
  'files.makeDir': (box, options) => box.files.makeDir('a', options),
  'files.remove': (box, options) => box.files.remove('a', options),
  'files.exists': (box, options) => box.files.exists('a', options),
  'pty.create': (box, options) => box.pty.create(options),
  'pty.attach': (box, options) => box.pty.attach('ffffffff', options),
  'pty.list': (box, options) => box.pty.list(options),
  'agent.start': (box, options) => box.agent.start(options),
  'agent.attach': (box, options) => box.agent.attach('ffffffff', options),
  'agent.list': (box, options) => box.agent.list(options),
};

const failureOf = async (call: Call, options: unknown): Promise<unknown> => {
  try {
    await call(sandbox, options as never);
  } catch (error) {
    return error;
  }
  throw new Error('it was taken');
};

describe.each(Object.entries(calls))('%s', (name, call) => {
  test.each([
    [{ zzzzzz: 1 }, 'unknown option "zzzzzz"'],
    // Names of the internal request are not options.
    [{ path: '/elsewhere' }, 'unknown option "path"'],
    ['utf8', 'options are not an object but string'],
    [null, 'options are not an object but null'],
    [['a'], 'options are not an object but an array'],
  ])('refuses %j, and sends nothing', async (options, message) => {
    const error = await failureOf(call, options);
    expect(error).toBeInstanceOf(InvalidRequestError);
    expect(error).toMatchObject({ code: 'invalid_option', message: expect.stringContaining(message) });
    expect((error as Error).message).toContain(`${name}: `);
    expect(server.seen).toEqual([]);
  });
});

test.each<[string, object, string]>([
  ['exec.run', { timout: 3 }, 'did you mean timeout?'],
  ['exec.run', { envs: {} }, 'did you mean env?'],
  ['exec.start', { workdir: '/' }, 'did you mean cwd?'],
  ['Sandbox.create', { memory: 512 }, 'did you mean memoryMB?'],
  ['Sandbox.create', { cpus: 2 }, 'did you mean cpuCount?'],
  ['Sandbox.create', { secretStore: 'x' }, 'Its options are signal,'],
  ['pty.create', { columns: 3 }, 'did you mean cols?'],
  [
    'exec.start',
    { reconnect: { timeout: 3 } },
    'reconnect: unknown option "timeout"; did you mean timeoutMs?',
  ],
])('%s says of %j what was probably meant', async (name, options, words) => {
  const call = calls[name] ?? (() => undefined);
  if ('reconnect' in options)
    await expect(Sandbox.connect('sb-1', { apiUrl: server.url })).resolves.toBeDefined();
  expect(await failureOf(call, options)).toMatchObject({ message: expect.stringContaining(words) });
  server.seen.length = 0;
});

test('options that are undefined are as good as absent', async () => {
  const running: Call = (box, options) => box.isRunning(options);
  expect(await running(sandbox, { secretStore: undefined } as never)).toBe(true);
  server.seen.length = 0;
});

test('sessions, terminals and agents refuse them as well', async () => {
  await using sessions = await SessionServer.start();
  const terminal = await new Pty(sessions.api()).create();
  const agent = await new Agent(sessions.api()).start();
  const refused = expect.objectContaining({ code: 'invalid_option' });
  await expect(terminal.resize({ cols: 1, rows: 1, width: 3 } as never)).rejects.toEqual(refused);
  await expect(terminal.resize({ cols: 1, rows: 1 }, { a: 1 } as never)).rejects.toEqual(refused);
  await expect(terminal.kill({ a: 1 } as never)).rejects.toEqual(refused);
  await expect(agent.kill(9, { a: 1 } as never)).rejects.toEqual(refused);
  expect(() => agent.configure({ modle: 'x' } as never)).toThrow(
    'agent.configure: unknown option "modle"; did you mean model?',
  );
});
