/** Users of machines begin here when the worker is root. */
export const firstMachineUid = 300_000;

/** Whether files and processes of a machine may belong to this user: one of a machine, or ourselves without root. */
export function isMachineUser(uid: number): boolean {
  const own = process.getuid?.();
  return own === 0 ? uid >= firstMachineUid : uid === own;
}
