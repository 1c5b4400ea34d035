import { copyFile, rename, rm } from 'node:fs/promises';

/**
 * Copies the operator's file of certificates for guests as it is now. Every worker that this launcher starts reads the
 * copy: a restart of the worker neither needs the file nor changes what guests trust.
 * @param file The operator's file; undefined removes the copy of an earlier start
 * @param copy Path of the copy. Nobody else may write there meanwhile
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
