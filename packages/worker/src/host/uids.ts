/** Where the worker is root, the machine in slot n of the network runs as this user plus n. */
export const firstMachineUid = 300_000;

/** The server, where the launcher is root: beside the machines, so that it belongs to nobody else on the host. */
export const serverUid = firstMachineUid - 1;

/** Whether files and processes of a machine may belong to this user: one of a machine, or ourselves without root. */
export function isMachineUser(uid: number): boolean {
  const own = process.getuid?.();
  return own === 0 ? uid >= firstMachineUid : uid === own;
}
