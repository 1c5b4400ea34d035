import { createHash } from 'node:crypto';
import type { Egress } from '@opencomputer/protocol';
import { debianFingerprints, readCertificates } from './certificates.ts';
import { type GuestProxy, proxyVariables } from './guest-proxy.ts';

export type { GuestProxy } from './guest-proxy.ts';

export const noEgress: Egress = { digest: '', certificates: [], environment: {} };

/** The system's bundle in the guest, which `update-ca-certificates` maintains there. */
const bundle = '/etc/ssl/certs/ca-certificates.crt';

/** Variables that make programs with an own list of authorities use the system's. */
const trustVariables: Readonly<Record<string, string>> = {
  SSL_CERT_FILE: bundle,
  REQUESTS_CA_BUNDLE: bundle,
  PIP_CERT: bundle,
  NODE_EXTRA_CA_CERTS: bundle,
  AWS_CA_BUNDLE: bundle,
  DENO_TLS_CA_STORE: 'system',
};

/**
 * The settings of the host's network that guests get. Certificates of the host's Debian are left out: the guest has its
 * own list, which may be newer and trust fewer.
 * @param file PEM file of certificates, if any
 * @throws HostError when the file or a setting of the proxy is wrong
 */
export async function readEgress(
  file: string | undefined,
  proxy: GuestProxy = {},
  directory?: string,
): Promise<Egress> {
  const variables = proxyVariables(proxy);
  if (file !== undefined)
    return egressOf(await extraCertificates(file, directory), { ...trustVariables, ...variables });
  return Object.keys(variables).length === 0 ? noEgress : egressOf([], variables);
}

async function extraCertificates(file: string, directory: string | undefined): Promise<string[]> {
  const usual = (await debianFingerprints(directory)) ?? new Set();
  return (await readCertificates(file))
    .filter(({ fingerprint256 }) => !usual.has(fingerprint256))
    .map((certificate) => certificate.toString());
}

function egressOf(certificates: readonly string[], environment: Readonly<Record<string, string>>): Egress {
  const sorted = Object.entries(environment).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const digest = createHash('sha256')
    .update(JSON.stringify([certificates, sorted]))
    .digest('hex')
    .slice(0, 32);
  return { digest, certificates, environment };
}
