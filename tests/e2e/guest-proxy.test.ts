import { afterEach, expect, test } from 'vitest';
import { TestPlatform } from '../support/platform.ts';

let platform: TestPlatform | undefined;
afterEach(() => platform?.destroy());

/** Of TEST-NET-3, where nobody answers: what counts is whom programs call. */
const proxy = 'http://user:p%40ss@203.0.113.7:3128';

test('programs of a guest call the proxy that they are told of, and themselves without it', async () => {
  platform = await TestPlatform.start({
    env: {
      OPENCOMPUTER_GUEST_HTTP_PROXY: proxy,
      OPENCOMPUTER_GUEST_HTTPS_PROXY: proxy,
      OPENCOMPUTER_GUEST_NO_PROXY: '.example.com',
    },
  });
  const sandbox = await platform.api.create({});
  const wanted = `${proxy} localhost,127.0.0.1,::1,.example.com`;
  const line = 'echo $https_proxy $no_proxy';
  expect(await sandbox.output(line)).toBe(wanted);
  expect(await sandbox.output(`sudo -i printenv https_proxy no_proxy`)).toBe(wanted.replace(' ', '\n'));
  expect(await sandbox.output(`sudo bash -c '${line}'`)).toBe(wanted);

  // Answers for the proxy's address within the guest.
  await sandbox.output('sudo ip address add 203.0.113.7/32 dev lo');
  await sandbox.write('/tmp/proxy.py', new TextEncoder().encode(listener));
  await sandbox.output(
    'nohup python3 /tmp/proxy.py > /tmp/calls 2>&1 &\nfor i in $(seq 100); do nc -z 203.0.113.7 3128 && exit 0; sleep 0.1; done; exit 1',
  );
  await sandbox.run('curl -s http://one.test/', { timeout: 60 });
  await sandbox.run('pip download --no-cache-dir --retries 0 -i https://two.test/simple six', {
    timeout: 120,
  });
  await sandbox.run(`node -e 'fetch("http://three.test/").catch(() => 0)'`, { timeout: 60 });
  await sandbox.run('curl -s http://localhost:1/; curl -s --max-time 5 http://a.example.com/', {
    timeout: 60,
  });
  const calls = await sandbox.output('cat /tmp/calls');
  for (const host of ['one.test', 'two.test', 'three.test']) expect(calls).toContain(host);
  expect(calls).not.toMatch(/localhost|example\.com/);
  expect(platform.log).not.toContain('p%40ss');
}, 900_000);

/** Notes the first line of each request. */
const listener = `
import http.server, sys
class Proxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.path, flush=True)
        self.send_error(502)
    def do_CONNECT(self):
        self.do_GET()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("203.0.113.7", 3128), Proxy).serve_forever()
`;

test('an address that is none stops the start, without its password in the log', async () => {
  const start = TestPlatform.start({ env: { OPENCOMPUTER_GUEST_HTTPS_PROXY: 'user:secret@proxy' } });
  const message = await start.then(String, (error: Error) => error.message);
  expect(message).toContain('OPENCOMPUTER_GUEST_HTTPS_PROXY is no address of a proxy');
  expect(message).not.toContain('secret');
  expect(message).not.toContain('starting it again');
});
