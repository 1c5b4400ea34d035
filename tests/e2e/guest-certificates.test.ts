import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestSandbox } from '../support/api.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { TestPlatform } from '../support/platform.ts';
import { proxyKey, proxyRoot } from '../support/proxy-root.ts';

const bundle = '/etc/ssl/certs/ca-certificates.crt';

/** A server in the guest, at https://localhost:8443, whose certificate a proxy would have signed. */
const server = [
  'cd /tmp',
  "printf 'subjectAltName=DNS:localhost\\nauthorityKeyIdentifier=keyid\\n' > extension",
  'openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout leaf.key -subj /CN=localhost -out leaf.csr 2>/dev/null',
  'openssl x509 -req -in leaf.csr -CA proxy.pem -CAkey proxy.key -days 30 -extfile extension -out leaf.pem 2>/dev/null',
  'echo hello > hello && git init -q --bare repository && git -C repository update-server-info',
  'nohup python3 server.py >/dev/null 2>&1 &',
  'for i in $(seq 100); do nc -z localhost 8443 && exit 0; sleep 0.1; done; exit 1',
].join('\n');

const serverProgram = `
import http.server, ssl
server = http.server.ThreadingHTTPServer(("localhost", 8443), http.server.SimpleHTTPRequestHandler)
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain("leaf.pem", "leaf.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
`;

/** What each program says of that server; all of them begin with trust. */
const clients: Record<string, string> = {
  curl: 'curl -sS https://localhost:8443/hello',
  wget: 'wget -qO- https://localhost:8443/hello',
  'the bundle': 'openssl verify -CAfile /etc/ssl/certs/ca-certificates.crt /tmp/leaf.pem',
  'the hashed directory': 'openssl verify -no-CAfile -CApath /etc/ssl/certs /tmp/leaf.pem',
  Python: `python3 -c 'import urllib.request as u; print(u.urlopen("https://localhost:8443/hello").read())'`,
  "pip's requests": `python3 -c 'from pip._vendor import requests; print(requests.get("https://localhost:8443/hello").text)'`,
  'Node.js': `node -e 'fetch("https://localhost:8443/hello").then(async (r) => console.log(await r.text()))'`,
  git: 'git ls-remote https://localhost:8443/repository && echo hello',
  root: 'sudo curl -sS https://localhost:8443/hello',
  'root with sudo in Node.js': `sudo node -e 'fetch("https://localhost:8443/hello").then(async (r) => console.log(await r.text()))'`,
};

async function serve(sandbox: TestSandbox): Promise<void> {
  const files = { 'proxy.pem': proxyRoot, 'proxy.key': proxyKey, 'server.py': serverProgram };
  for (const [name, text] of Object.entries(files))
    await sandbox.write(`/tmp/${name}`, new TextEncoder().encode(text));
  await sandbox.output(server, { timeout: 120 });
}

/** The programs of a sandbox that do not trust the server. */
async function distrusting(sandbox: TestSandbox): Promise<string[]> {
  const failed: string[] = [];
  for (const [name, line] of Object.entries(clients)) {
    const { exitCode, stdout, stderr } = await sandbox.run(line, { timeout: 120 });
    if (exitCode !== 0 || !/hello|OK/.test(stdout)) failed.push(`${name}: ${stdout}${stderr}`.slice(0, 400));
  }
  return failed;
}

describe('with certificates for guests', () => {
  let directory: string;
  let file: string;
  let platform: TestPlatform | undefined;

  async function start(env: Record<string, string>): Promise<TestPlatform> {
    const dataDir = platform?.dataDir;
    await platform?.stop();
    platform = await TestPlatform.start({ env, ...(dataDir === undefined ? {} : { dataDir }) });
    return platform;
  }

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'certificates-'));
    file = join(directory, 'certificates.pem');
    // What the host trusts, too: where its network signs TLS, registries can be reached.
    await writeFile(file, `${await readFile(process.env['SSL_CERT_FILE'] ?? bundle, 'utf8')}\n${proxyRoot}`);
  });
  afterAll(async () => {
    await platform?.destroy();
    await rm(directory, { recursive: true });
  });

  test('sandboxes of before get them when they start again, new ones have them from the first command on', async () => {
    const before = await (await start({})).api.create({});
    await serve(before);
    expect((await distrusting(before)).length).toBe(Object.keys(clients).length);
    expect((await before.call('POST', '/hibernate')).status).toBe(200);

    const { api } = await start({ OPENCOMPUTER_GUEST_CA_CERTIFICATES: file });
    const fresh = await api.create({});
    await serve(fresh);
    expect(await distrusting(fresh)).toEqual([]);
    const old = api.sandbox(before.id);
    await serve(old);
    // The last of what is rebuilt behind.
    const stores = `for i in $(seq 600); do ${clients['the hashed directory']} && exit 0; sleep 0.5; done; exit 1`;
    await old.output(stores, { timeout: 320 });
    expect(await distrusting(old)).toEqual([]);

    // Registries, for real, with nothing done in the sandbox.
    expect(
      await fresh.output('pip install -q six && python3 -c "import six; print(six.__name__)"', {
        timeout: 170,
      }),
    ).toBe('six');
    const npm =
      'mkdir -p ~/n && cd ~/n && npm init -y >/dev/null && npm install --silent --no-audit --no-fund is-odd && ls node_modules';
    expect(await fresh.output(npm, { timeout: 170 })).toContain('is-odd');
  }, 1_500_000);

  test('a file that goes bad while the platform runs neither stops the worker nor changes what sandboxes trust', async () => {
    const running = await start({ OPENCOMPUTER_GUEST_CA_CERTIFICATES: file });
    const sandbox = await running.api.create({});
    const machine = running.machines().get(sandbox.id);
    const good = await readFile(file);
    await writeFile(file, 'no certificate');
    try {
      const ended = running.part('worker');
      await running.crash('worker');
      await eventually('another worker serves', async () => {
        const part = running.part('worker');
        return part !== undefined && part.pid !== ended?.pid && (await running.answers('/readyz'));
      });
      expect(running.log).not.toContain('holds no certificate');
      expect(running.machines().get(sandbox.id)).toEqual(machine);
      const later = await running.api.create({});
      await serve(later);
      expect(await later.output(clients['curl'] ?? '')).toBe('hello');
      // The next start refuses it.
      await expect(start({ OPENCOMPUTER_GUEST_CA_CERTIFICATES: file })).rejects.toThrow(
        `${file} holds no certificate`,
      );
    } finally {
      await writeFile(file, good);
    }
  }, 900_000);
});

test('a file that is none stops the start at once, with the reason', async () => {
  const start = TestPlatform.start({ env: { OPENCOMPUTER_GUEST_CA_CERTIFICATES: '/etc/hostname' } });
  const message = await start.then(String, (error: Error) => error.message);
  expect(message).toContain('opencomputer: /etc/hostname holds no certificate');
  expect(message).toContain('must name a PEM file of certificates');
  expect(message).not.toContain('starting it again');
});
