import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { execFileSync } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { instanceTagOf } from '../../packages/worker/src/config.ts';
import { trustLikeHost } from '../support/authorities.ts';
import { fileSandbox } from '../support/shared.ts';

/** Refusals must come at once; this is when curl gives up by itself. */
const giveUpSeconds = 60;

describe('what a guest reaches', () => {
  const first = fileSandbox();
  const second = fileSandbox();
  let server: Server;
  let port = 0;

  beforeAll(async () => {
    await Promise.all([first(), second()].map(trustLikeHost));
    // Listens on every address of the host, as a careless service would.
    server = createServer((_request, response) => response.end('host service'));
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  /** Tries to connect; says how curl ended. 28 is its own timeout: nobody had answered. */
  const connect = (url: string): Promise<string> =>
    first().output(`curl -s -o /dev/null --noproxy '*' -m ${giveUpSeconds} ${url}; echo $?`, { timeout: 90 });

  test('the internet, by name and over TLS', async () => {
    expect(await first().output('getent ahostsv4 registry.npmjs.org | head -1')).not.toBe('');
    const status = await first().output(
      'curl -s -o /dev/null -w "%{http_code}" -m 60 https://registry.npmjs.org/is-odd',
      { timeout: 90 },
    );
    expect(status).toBe('200');
  });

  test('names that do not exist fail with an answer', async () => {
    const result = await first().run('dig +time=20 +tries=1 no-such-name.invalid', { timeout: 60 });
    expect(result.stdout).toMatch(/status: NXDOMAIN/);
  });

  test('no address of the host, on any of its interfaces', async () => {
    const own = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter(({ family, internal }) => family === 'IPv4' && !internal)
      .map(({ address }) => address);
    expect(own.length).toBeGreaterThan(0);
    for (const address of new Set([...own, '172.30.0.1']))
      expect(['7', '56'], `${address} must refuse`).toContain(await connect(`http://${address}:${port}/`));
  });

  test('its own loopback is its own, not the host\u2019s', async () => {
    expect(await connect(`http://127.0.0.1:${port}/`)).toBe('7');
    expect(await connect(`http://[::1]:${port}/`)).toBe('7');
  });

  test.each(['169.254.169.254', '10.0.0.1', '192.168.0.1', '100.64.0.1', '172.16.0.1'])(
    'not %s, and it hears so at once',
    async (address) => {
      expect(await connect(`http://${address}/latest/meta-data/`)).toBe('7');
    },
  );

  test('no other sandbox', async () => {
    await second().output('nohup python3 -m http.server 8000 --bind 0.0.0.0 >/dev/null 2>&1 & sleep 0.1');
    await second().output(
      'for i in $(seq 200); do curl -s -o /dev/null http://127.0.0.1:8000/ && exit 0; sleep 0.1; done; exit 1',
    );
    // All namespaces hold the same guest address; the outer ones are on the bridge.
    const bridge = `oc${instanceTagOf(inject('platform').dataDir)}`;
    const shown = execFileSync('ip', ['-4', '-o', 'addr', 'show', 'dev', bridge], { encoding: 'utf8' });
    const [, net] = /inet (\d+\.\d+\.\d+)\.\d+\//.exec(shown) ?? [];
    expect(net).toBeDefined();
    const targets = [2, 3, 4, 5, 6, 9].map((last) => `${net}.${last}`);
    const answers = await Promise.all(targets.map((target) => connect(`http://${target}:8000/`)));
    for (const answer of answers) expect(answer).toBe('7');
  });

  test('a flood of connections does not cut off the others', async () => {
    const flood =
      'import socket,time\ns=[]\nfor i in range(300):\n c=socket.socket(); c.setblocking(False); c.connect_ex(("198.51.100.1",80)); s.append(c)\nprint(len(s))';
    await first().write('/tmp/flood.py', flood);
    expect(await first().output('python3 /tmp/flood.py', { timeout: 90 })).toBe('300');
    const status = await second().output(
      'curl -s -o /dev/null -w "%{http_code}" -m 60 https://registry.npmjs.org/is-odd',
      { timeout: 90 },
    );
    expect(status).toBe('200');
  });
});
