import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { expiredRoot, proxyRoot } from '../host/testing/certificates.ts';
import { scratchDirectory } from '../testing/scratch.ts';
import { certificateCheck, judgeMissing } from './certificate-check.ts';
import { runCheck, type DoctorConfig } from './checks.ts';

async function file(text: string): Promise<string> {
  const path = join(await scratchDirectory(), 'certificates.pem');
  await writeFile(path, text);
  return path;
}

test('the doctor proposes the setting where the host trusts more than guests do', async () => {
  const ownDirectory = await scratchDirectory();
  await writeFile(join(ownDirectory, 'own.crt'), expiredRoot);
  const plain = await file(expiredRoot);
  const extra = await file(expiredRoot + proxyRoot);
  const missing = await judgeMissing({ ownDirectory, bundles: [undefined, plain, '/no/such', extra] });
  expect(missing).toMatchObject({ status: 'warn', fix: `Set OPENCOMPUTER_GUEST_CA_CERTIFICATES=${extra}.` });
  expect(missing.found).toContain('CN=Example Proxy Root');
  expect(await judgeMissing({ ownDirectory, bundles: [plain] })).toMatchObject({ status: 'ok' });
  const empty = join(ownDirectory, 'none');
  await mkdir(empty);
  expect(await judgeMissing({ ownDirectory: join(empty, 'x'), bundles: [extra] })).toMatchObject({
    status: 'ok',
  });
});

test('the doctor looks at the certificates that are given', async () => {
  const check = (guestCertificates: string) =>
    runCheck(certificateCheck, { guestCertificates } as DoctorConfig);
  expect(await check(await file(expiredRoot + proxyRoot))).toMatchObject({ status: 'ok' });
  expect(await check(await file(expiredRoot))).toMatchObject({ status: 'warn' });
  expect(await check('/no/such')).toMatchObject({ status: 'fail', fix: expect.stringContaining('PEM') });
});
