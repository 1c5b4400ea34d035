import { expect, test } from 'vitest';
import { judgeProxy } from './guest-proxy-check.ts';

test.each([
  ['http://user:secret@10.1.2.3:3128', '10.1.2.3'],
  ['http://localhost:3128', 'localhost'],
])('the doctor says that guests cannot reach %s', async (url, host) => {
  const check = await judgeProxy({ OPENCOMPUTER_GUEST_HTTPS_PROXY: url });
  expect(check).toMatchObject({ status: 'warn', found: expect.stringContaining(host) });
  expect(JSON.stringify(check)).not.toContain('secret');
});

test('the doctor has nothing against a public one, nor against none', async () => {
  expect(await judgeProxy({ OPENCOMPUTER_GUEST_HTTPS_PROXY: 'http://203.0.113.7:3128' })).toMatchObject({
    status: 'ok',
    found: '203.0.113.7',
  });
  expect(await judgeProxy({})).toEqual({ status: 'ok', found: 'none' });
  expect((await judgeProxy({ OPENCOMPUTER_GUEST_HTTP_PROXY: 'no' }).catch(String)) as string).toContain(
    'OPENCOMPUTER_GUEST_HTTP_PROXY is no address',
  );
});
