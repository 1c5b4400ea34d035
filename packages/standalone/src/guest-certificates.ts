import { copyFile, rename, rm } from 'node:fs/promises';

/**
 * Takes the operator's file of certificates for guests as it is now. Every worker of this platform reads the copy, so
 * that a restart of the worker neither depends on the file nor changes what guests trust.
 * @param file The operator's; undefined removes the copy of an earlier platform
 * @param copy Where it is kept. Nobody else may write there meanwhile
 * @returns The setting for the worker
 */
export async function keepGuestCertificates(
  file: string | undefined,
  copy: string,
): Promise<{ OPENCOMPUTER_GUEST_CA_CERTIFICATES?: string }> {
  if (file === undefined) {
    await rm(copy, { force: true });
    return {};
  }
  const fresh = `${copy}.new`;
  await rm(fresh, { force: true });
  await copyFile(file, fresh);
  await rename(fresh, copy);
  return { OPENCOMPUTER_GUEST_CA_CERTIFICATES: copy };
}
