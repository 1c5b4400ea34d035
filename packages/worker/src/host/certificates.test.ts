import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { scratchDirectory } from '../testing/scratch.ts';
import { readCertificates } from './certificates.ts';
import { noEgress, readEgress } from './egress.ts';
import { expiredRoot, proxyRoot } from './testing/certificates.ts';

async function file(text: string | Buffer): Promise<string> {
  const path = join(await scratchDirectory(), 'certificates.pem');
  await writeFile(path, text);
  return path;
}

test('a file of certificates is read with what people write around them, each once', async () => {
  const path = await file(`# Proxy\r\n${proxyRoot.replaceAll('\n', '\r\n')}text\n${expiredRoot}${proxyRoot}`);
  const found = await readCertificates(path);
  expect(found.map(({ subject }) => subject)).toEqual([
    'O=Example\nCN=Example Proxy Root',
    'CN=Expired Root',
  ]);
});

test.each<[string, () => Promise<string>, string]>([
  ['that is missing', async () => '/no/such/file', '/no/such/file cannot be read: ENOENT'],
  ['that is a directory', () => scratchDirectory(), 'cannot be read: EISDIR'],
  ['without a certificate', () => file('text'), 'holds no certificate'],
  [
    'with a key',
    () => file(`${proxyRoot}-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n`),
    'holds a key, which guests must not get',
  ],
  [
    'with a damaged certificate',
    () => file(proxyRoot + expiredRoot.replace('MIIB', 'MIIC')),
    'is damaged at certificate 2',
  ],
  ['that was cut off', () => file(proxyRoot + expiredRoot.slice(0, 300)), 'holds a block that has no end'],
  ['that is too large', () => file(Buffer.alloc(1024 * 1024 + 1)), 'it is larger than 1048576 bytes'],
])('a file %s is refused with its name and the reason', async (_, make, reason) => {
  const path = await make();
  const refused = readEgress(path);
  await expect(refused).rejects.toThrow(reason);
  await expect(refused).rejects.toThrow(path);
});

test('guests get nothing without the setting, and the same for the same certificates', async () => {
  expect(await readEgress(undefined)).toBe(noEgress);
  const one = await readEgress(await file(proxyRoot));
  const again = await readEgress(await file(`comment\n${proxyRoot}`));
  const other = await readEgress(await file(proxyRoot + expiredRoot));
  expect(one).toEqual(again);
  expect(one.digest).toMatch(/^[0-9a-f]{32}$/);
  expect(other.digest).not.toBe(one.digest);
  expect(one.certificates).toEqual([proxyRoot]);
  expect(one.environment).toMatchObject({ NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/ca-certificates.crt' });
});

test('certificates that come with the host are left to the list of the guest', async () => {
  const directory = await scratchDirectory();
  await writeFile(join(directory, 'own.crt'), expiredRoot);
  const egress = await readEgress(await file(expiredRoot + proxyRoot), {}, directory);
  expect(egress.certificates).toEqual([proxyRoot]);
  // Not the operator's certificate, so no reason to refuse the operator's file.
  await writeFile(join(directory, 'damaged.crt'), 'text');
  expect(await readEgress(await file(expiredRoot + proxyRoot), {}, directory)).toEqual(egress);
});
