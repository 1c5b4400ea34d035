import type { X509Certificate } from 'node:crypto';
import { debianDirectory, debianFingerprints, readCertificates } from '../host/certificates.ts';
import type { CheckDefinition, CheckResult } from './checks.ts';

export const certificatesVariable = 'OPENCOMPUTER_GUEST_CA_CERTIFICATES';

/** Variables that name other bundles to programs of the host. */
const bundleVariables = [
  'SSL_CERT_FILE',
  'REQUESTS_CA_BUNDLE',
  'PIP_CERT',
  'CURL_CA_BUNDLE',
  'NODE_EXTRA_CA_CERTS',
] as const;

/** Which of the host's certificates guests get, and whether some are missing. */
export const certificateCheck: CheckDefinition = {
  id: 'guest-certificates',
  title: 'Guest certificates',
  run: async ({ guestCertificates }) => {
    if (guestCertificates !== undefined) return judgeGiven(guestCertificates);
    return judgeMissing({
      ownDirectory: debianDirectory,
      bundles: ['/etc/ssl/certs/ca-certificates.crt', ...bundleVariables.map((name) => process.env[name])],
    });
  },
};

async function judgeGiven(file: string): Promise<CheckResult> {
  const certificates = await readCertificates(file);
  const expired = certificates.filter(({ validToDate }) => validToDate.getTime() < Date.now());
  const found = `${certificates.length} of ${file}`;
  if (expired.length < certificates.length) return { status: 'ok', found };
  return {
    status: 'warn',
    found: `${found}, all expired`,
    why: 'What they have signed is not trusted.',
    fix: `Put certificates that are valid into the file of ${certificatesVariable}.`,
  };
}

/** Looks for certificates that programs of this host trust and guests don't. */
export async function judgeMissing(host: {
  ownDirectory: string;
  bundles: readonly (string | undefined)[];
}): Promise<CheckResult> {
  const own = await debianFingerprints(host.ownDirectory);
  if (own === undefined) return { status: 'ok', found: 'none; this host has no list to compare with' };
  for (const bundle of new Set(host.bundles)) {
    const extra = bundle === undefined ? [] : await extraCertificates(bundle, own);
    if (extra.length > 0) return propose(bundle ?? '', extra);
  }
  return { status: 'ok', found: 'none, and this host trusts none beside the usual ones' };
}

/** The certificates of a bundle that are not Debian's; none where the file is not a bundle. */
async function extraCertificates(bundle: string, own: ReadonlySet<string>): Promise<X509Certificate[]> {
  const certificates = await readCertificates(bundle).catch(() => []);
  return certificates.filter(({ fingerprint256 }) => !own.has(fingerprint256));
}

function propose(bundle: string, extra: readonly X509Certificate[]): CheckResult {
  const names = extra.slice(0, 3).map(({ subject }) => subject.split('\n').at(-1) ?? subject);
  const more = extra.length > names.length ? ` and ${extra.length - names.length} more` : '';
  return {
    status: 'warn',
    found: `${extra.length} in ${bundle} that guests lack: ${names.join('; ')}${more}`,
    why: 'Where the network of this host signs TLS connections with one of them, guests can install nothing.',
    fix: `Set ${certificatesVariable}=${bundle}.`,
  };
}
