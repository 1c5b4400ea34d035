/** Where the worker is root, the machine in slot n of the network runs as this user plus n. */
export const firstMachineUid = 300_000;

/**
 * The user of the server, where the launcher is root. Its number is next to those of machines, so that nobody else on
 * the host is likely to have it.
 */
export const serverUid = firstMachineUid - 1;

/** Whether files and processes of a machine may belong to this user: one of a machine's, or, without root, our own. */
export function isMachineUser(uid: number): boolean {
  const own = process.getuid?.();
  return own === 0 ? uid >= firstMachineUid : uid === own;
}
