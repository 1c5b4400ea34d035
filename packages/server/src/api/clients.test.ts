import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import packageFile from '../../package.json' with { type: 'json' };
import { readClients } from '../clients.ts';
import { temporaryDirectory, TestServer } from '../testing/harness.ts';

const { version } = packageFile;
const npm = `opencomputer-sdk-${version}.tgz`;
const oc = `opencomputer-cli-${version}.tgz`;
const wheel = `opencomputer_sdk-${version}-py3-none-any.whl`;
const directory = temporaryDirectory();
let server: TestServer;

beforeAll(async () => {
  writeFileSync(join(directory.path, npm), 'the tarball');
  writeFileSync(join(directory.path, oc), 'the command line');
  writeFileSync(join(directory.path, wheel), 'the wheel');
  writeFileSync(join(directory.path, 'opencomputer-sdk-0.0.1.tgz'), 'an older one');
  server = await TestServer.start();
  await server.stopServer();
  server.clients = directory.path;
  await server.startServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(`${server.url}/sdk${path}`, { method, headers });

test.each([
  [`/${npm}`, 'the tarball', 'application/gzip'],
  ['/opencomputer-sdk.tgz', 'the tarball', 'application/gzip'],
  [`/${oc}`, 'the command line', 'application/gzip'],
  ['/opencomputer-cli.tgz', 'the command line', 'application/gzip'],
  [`/${wheel}`, 'the wheel', 'application/zip'],
])('%s is handed out without a key', async (path, content, type) => {
  const answer = await get(path);
  expect([answer.status, await answer.text()]).toEqual([200, content]);
  expect(answer.headers.get('content-type')).toBe(type);
  expect(answer.headers.get('content-length')).toBe(String(content.length));
  const etag = answer.headers.get('etag') ?? '';
  const again = await get(path, { 'if-none-match': etag });
  expect([again.status, await again.text(), again.headers.get('etag')]).toEqual([304, '', etag]);
  expect((await get(path, { 'if-none-match': `"other", W/${etag}` })).status).toBe(304);
  expect((await get(path, { 'if-none-match': '"other"' })).status).toBe(200);
  const head = await get(path, {}, 'HEAD');
  expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([
    200,
    String(content.length),
    '',
  ]);
});

test('the page names this server and this version, and warns of the names', async () => {
  const page = await (await get('')).text();
  expect(page).toContain(`npm install ${server.url}/sdk/${npm}\n`);
  expect(page).toContain(`npm install -g ${server.url}/sdk/${oc}\n`);
  expect(page).toContain(`pip install ${server.url}/sdk/${wheel}\n`);
  expect(page).toMatch(/packages of another\s+project/);
});

test('the list for pip names the wheel with its checksum', async () => {
  const sha256 = createHash('sha256').update('the wheel').digest('hex');
  expect(await (await get('/python.txt')).text()).toBe(`${server.url}/sdk/${wheel}#sha256=${sha256}\n`);
});

test.each(['/opencomputer-sdk-0.0.1.tgz', '/..%2f..%2fpackage.json', '/%2e%2e/api-key', '/x'])(
  '%s is not handed out',
  async (path) => {
    const answer = await get(path);
    expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([404, 'not_found']);
  },
);

test('where they have not been built, this is said', async () => {
  using empty = temporaryDirectory();
  await using other = await TestServer.start();
  await other.stopServer();
  other.clients = empty.path;
  await other.startServer();
  const answer = await other.call('GET', '/sdk/opencomputer-sdk.tgz');
  expect([answer.status, answer.json.hint]).toEqual([404, expect.stringContaining('npm run build')]);
  expect((await other.call('GET', '/sdk')).text).toContain('npm run build');
});

test('a file that is no package, by its size, is refused at the start', () => {
  using large = temporaryDirectory();
  writeFileSync(join(large.path, npm), Buffer.alloc(9 * 1024 * 1024));
  expect(() => readClients(large.path, version)).toThrow(/more than a package of a client may have/);
});
