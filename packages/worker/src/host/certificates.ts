import { X509Certificate } from 'node:crypto';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errorText, HostError } from './errors.ts';

/** Where Debian keeps its certificates, one per file. */
export const debianDirectory = '/usr/share/ca-certificates/mozilla';

/** Bundles of operating systems have 150 certificates in 220 KB. */
const fileBytes = 1024 * 1024;
const mostCertificates = 500;

const block = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g;
const hint =
  'OPENCOMPUTER_GUEST_CA_CERTIFICATES must name a PEM file of certificates alone, such as /etc/ssl/certs/ca-certificates.crt.';

/**
 * The certificates of a PEM file, each once, in the order of the file.
 * @throws HostError that names the file and says what is wrong with it
 */
export async function readCertificates(file: string): Promise<X509Certificate[]> {
  const wrong = (reason: string, cause?: unknown): HostError =>
    new HostError(`${file} ${reason}`, hint, { cause });
  let text: string;
  try {
    text = await readBounded(file);
  } catch (error) {
    throw wrong(`cannot be read: ${errorText(error)}`, error);
  }
  const found = new Map<string, X509Certificate>();
  let ended = 0;
  for (const [pem, type] of text.matchAll(block)) {
    ended++;
    if (type !== 'CERTIFICATE')
      throw wrong(
        `holds ${type?.includes('KEY') === true ? 'a key' : `a ${type}`}, which guests must not get`,
      );
    const position = `certificate ${found.size + 1}`;
    try {
      const certificate = new X509Certificate(pem);
      found.set(certificate.fingerprint256, certificate);
    } catch (error) {
      throw wrong(`is damaged at ${position}: ${errorText(error)}`, error);
    }
    if (found.size > mostCertificates) throw wrong(`holds more than ${mostCertificates} certificates`);
  }
  if ((text.match(/-----BEGIN /g) ?? []).length > ended) throw wrong('holds a block that has no end');
  if (found.size === 0) throw wrong('holds no certificate');
  return [...found.values()];
}

/**
 * Fingerprints of the certificates that come with the host's Debian.
 * @returns undefined on a host that is not Debian
 */
export async function debianFingerprints(directory = debianDirectory): Promise<Set<string> | undefined> {
  const names = await readdir(directory).catch(() => undefined);
  if (names === undefined) return undefined;
  const files = names.filter((name) => name.endsWith('.crt')).map((name) => join(directory, name));
  const read = await Promise.allSettled(files.map((file) => readCertificates(file)));
  // A file that is damaged or being replaced is skipped; at worst guests get a certificate that they have.
  const certificates = read.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
  return new Set(certificates.map(({ fingerprint256 }) => fingerprint256));
}

async function readBounded(file: string): Promise<string> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    if (size > fileBytes) throw new Error(`it is larger than ${fileBytes} bytes`);
    const buffer = Buffer.alloc(fileBytes + 1);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
    if (bytesRead > fileBytes) throw new Error(`it is larger than ${fileBytes} bytes`);
    return buffer.toString('latin1', 0, bytesRead);
  } finally {
    await handle.close();
  }
}
