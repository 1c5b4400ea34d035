import { execFile } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sendJson, TestServer, wireSandbox } from './testing/http-server.ts';
import { SessionServer } from './testing/session-server.ts';
import { TestSession } from './testing/test-session.ts';
import type { ServerResponse } from 'node:http';

const run = promisify(execFile);
const packageFolder = dirname(dirname(fileURLToPath(import.meta.url)));
const root = dirname(dirname(packageFolder));

/** Uses most of the surface; prints what it saw. */
const program = `
import { Sandbox, OpenComputerError, FileNotFoundError } from '@opencomputer/sdk';
const sandbox = await Sandbox.create();
const { stdout } = await sandbox.exec.run('echo hi');
const piece = new Uint8Array(256 * 1024);
async function* source() { for (let n = 0; n < 1024; n += 1) yield piece; }
globalThis.gc();
const before = process.memoryUsage.rss();
let peak = 0;
const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 5);
await sandbox.files.write('/big', source());
const upMiB = (peak - before) / 2 ** 20;
let size = 0;
for await (const chunk of await sandbox.files.readStream('/big')) size += chunk.byteLength;
clearInterval(watch);
const missing = await sandbox.files.read('/missing').catch((error) => error);
const all = await Promise.all(Array.from({ length: 50 }, () => sandbox.exec.run('true')));
await sandbox[Symbol.asyncDispose]();
console.log(JSON.stringify({
  stdout, size, upMiB, downMiB: (peak - before) / 2 ** 20, runs: all.length, status: sandbox.status,
  missing: missing instanceof FileNotFoundError && missing instanceof OpenComputerError,
}));
`;

/** Attaches with what the runtime has; prints what came of it. */
const liveProgram = `
import { Sandbox } from '@opencomputer/sdk';
const sandbox = await Sandbox.connect('sb-0a1b2c3d');
try {
  const session = await sandbox.exec.start('cat');
  await session.sendStdin('hello');
  let heard = '';
  for await (const { data } of session) {
    heard += Buffer.from(data);
    if (heard === 'hello') await session.closeStdin();
  }
  console.log(JSON.stringify({ heard, code: await session.done }));
} catch (error) {
  console.log(JSON.stringify({ code: error.code, message: error.message }));
}
`;

/** This Node and, where the path has one, the system's own. */
const runtimes = [
  ...new Set([
    realpathSync(process.execPath),
    ...(process.env['PATH'] ?? '')
      .split(delimiter)
      .filter((folder) => !folder.includes('node_modules'))
      .map((folder) => join(folder, 'node'))
      .filter((file) => existsSync(file))
      .map((file) => realpathSync(file)),
  ]),
];

describe('the package as it is published', () => {
  let folder = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'opencomputer-sdk-'));
    const installed = join(folder, 'node_modules/@opencomputer/sdk');
    await mkdir(installed, { recursive: true });
    await cp(join(packageFolder, 'package.json'), join(installed, 'package.json'));
    const compiler = join(root, 'node_modules/.bin/tsc');
    await run(compiler, [
      '-p',
      join(packageFolder, 'tsconfig.build.json'),
      '--outDir',
      join(installed, 'dist'),
    ]);
    await writeFile(join(folder, 'program.mjs'), program);
    await writeFile(join(folder, 'live.mjs'), liveProgram);
  });

  afterAll(async () => rm(folder, { recursive: true, force: true }));

  test.each(runtimes)('works with %s, streams in constant memory', async (node) => {
    await using server = await TestServer.startRaw((message, response) => {
      const path = message.url ?? '';
      if (path.includes('missing')) return sendJson(response, 404, { error: 'x', code: 'file_not_found' });
      if (path.includes('/files') && message.method === 'GET') return sendBig(response);
      message.resume().on('end', () => {
        if (path.endsWith('/run-async')) sendJson(response, 200, { exitCode: 0, stdout: 'hi\n', stderr: '' });
        else if (message.method === 'POST') sendJson(response, 201, wireSandbox);
        else response.writeHead(204).end();
      });
    });
    const { stdout } = await run(node, ['--expose-gc', 'program.mjs'], {
      cwd: folder,
      env: { OPENCOMPUTER_API_URL: server.url, OPENCOMPUTER_API_KEY: 'osb_key' },
    });
    const { upMiB, downMiB, ...seen } = JSON.parse(stdout) as { upMiB: number; downMiB: number };
    expect(seen).toEqual({ stdout: 'hi\n', size: 256 * 2 ** 20, runs: 50, status: 'stopped', missing: true });
    expect(upMiB).toBeLessThan(80);
    // Chunks that were read wait for the garbage collector.
    expect(downMiB).toBeLessThan(200);
  });

  /** Runs the program beside a server whose session repeats its input until that ends. */
  async function live(node: string): Promise<unknown> {
    class Echo extends TestSession {
      override taken(): void {
        this.print('hello');
      }
      override inputEnded(): void {
        this.exit(6);
      }
    }
    await using server = await SessionServer.start({
      session: new Echo(),
      handle: (_request, response) => sendJson(response, 200, wireSandbox),
    });
    const env = { OPENCOMPUTER_API_URL: server.url, OPENCOMPUTER_API_KEY: 'osb_key' };
    return JSON.parse((await run(node, ['live.mjs'], { cwd: folder, env })).stdout) as unknown;
  }

  test.each(runtimes)('attaches with %s, or says what to install', async (node) => {
    const works = { heard: 'hello', code: 6 };
    const { stdout } = await run(node, ['-p', 'typeof WebSocket']);
    if (stdout.trim() === 'function') expect(await live(node)).toEqual(works);
    else
      expect(await live(node)).toMatchObject({
        code: 'websocket_missing',
        message: expect.stringContaining('npm install ws'),
      });
    const installed = join(folder, 'node_modules/ws');
    await cp(join(root, 'node_modules/ws'), installed, { recursive: true });
    expect(await live(node)).toEqual(works);
    await rm(installed, { recursive: true });
  });

  test('is understood by the compiler of a strict consumer', async () => {
    await writeFile(
      join(folder, 'consumer.ts'),
      `import { Sandbox, type ProcessResult } from '@opencomputer/sdk';
       await using sandbox = await Sandbox.create({ timeout: 60, apiKey: process.env['KEY'] });
       const result: ProcessResult = await sandbox.exec.run('true');
       // @ts-expect-error The exit code is a number.
       const wrong: string = result.exitCode;`,
    );
    await writeFile(join(folder, 'package.json'), '{"type":"module"}');
    const flags =
      '--strict --exactOptionalPropertyTypes --noEmit --target es2022 --lib es2022,esnext.disposable';
    const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')];
    const modules = ['--module', 'nodenext', '--skipLibCheck'];
    await run(
      join(root, 'node_modules/.bin/tsc'),
      [...flags.split(' '), ...types, ...modules, 'consumer.ts'],
      { cwd: folder },
    ).catch((error: { stdout?: string }) => expect.fail(error.stdout ?? 'the compiler did not run'));
  });
});

function sendBig(response: ServerResponse): void {
  let left = 256;
  const more = (): void => {
    while (left > 0) {
      left -= 1;
      if (!response.write(Buffer.alloc(1024 * 1024))) return;
    }
    response.end();
  };
  response.on('drain', more);
  more();
}
