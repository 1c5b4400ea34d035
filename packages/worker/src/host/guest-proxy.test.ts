import { expect, test } from 'vitest';
import { scratchDirectory } from '../testing/scratch.ts';
import { readEgress } from './egress.ts';
import { proxyVariables } from './guest-proxy.ts';

const http = 'http://user:p%40ss@proxy.example.com:3128';

test('guests get the variables in both spellings, and reach themselves without the proxy', async () => {
  const variables = proxyVariables({
    OPENCOMPUTER_GUEST_HTTP_PROXY: http,
    OPENCOMPUTER_GUEST_NO_PROXY: '.example.com,203.0.113.7',
  });
  const none = 'localhost,127.0.0.1,::1,.example.com,203.0.113.7';
  expect(variables).toEqual({
    HTTP_PROXY: http,
    http_proxy: http,
    NO_PROXY: none,
    no_proxy: none,
    NODE_USE_ENV_PROXY: '1',
  });
  const egress = await readEgress(
    undefined,
    { OPENCOMPUTER_GUEST_HTTPS_PROXY: http },
    await scratchDirectory(),
  );
  expect(egress.environment).toMatchObject({ https_proxy: http, no_proxy: 'localhost,127.0.0.1,::1' });
  expect(egress.digest).toMatch(/^[0-9a-f]{32}$/);
});

test('nothing is set without the settings', () => {
  expect(proxyVariables({})).toEqual({});
});

test.each([
  [{ OPENCOMPUTER_GUEST_HTTP_PROXY: 'secret.example.com:3128' }],
  [{ OPENCOMPUTER_GUEST_HTTPS_PROXY: 'socks5://secret.example.com' }],
  [{ OPENCOMPUTER_GUEST_HTTPS_PROXY: "http://user:sec'ret@proxy" }],
  [{ OPENCOMPUTER_GUEST_HTTPS_PROXY: 'http://user:secret@proxy/\nPATH=/x' }],
  [{ OPENCOMPUTER_GUEST_HTTPS_PROXY: 'http://user:sec#ret@proxy' }],
  [{ OPENCOMPUTER_GUEST_HTTPS_PROXY: 'http://user:sec\\ret@proxy' }],
  [{ OPENCOMPUTER_GUEST_HTTPS_PROXY: http, OPENCOMPUTER_GUEST_NO_PROXY: 'secret, b' }],
  [{ OPENCOMPUTER_GUEST_NO_PROXY: 'secret' }],
])('%j is refused by the name of the setting, without its value', (proxy) => {
  const refused = (): unknown => proxyVariables(proxy);
  expect(refused).toThrow(Object.keys(proxy).at(-1));
  expect(refused).not.toThrow(/sec.?ret/);
});
