import { readFile } from 'node:fs/promises';
import type { TestSandbox } from './api.ts';

const bundle = '/etc/ssl/certs/ca-certificates.crt';

/** Environment with which every tool in the guest uses the system's list of authorities. */
export const authorityEnvs: Record<string, string> = { NODE_EXTRA_CA_CERTS: bundle, PIP_CERT: bundle };

/** Lets a guest trust whom the host trusts: a company network may put its own authority before every server. */
export async function trustLikeHost(sandbox: TestSandbox): Promise<void> {
  let authorities: Buffer;
  try {
    authorities = await readFile(process.env['SSL_CERT_FILE'] ?? bundle);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  const extra = process.env['NODE_EXTRA_CA_CERTS'];
  if (extra !== undefined)
    authorities = Buffer.concat([authorities, Buffer.from('\n'), await readFile(extra)]);
  await sandbox.write(bundle, new Uint8Array(authorities));
}
