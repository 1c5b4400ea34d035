/** What QEMU is left with. */
export interface Jail {
  /** Path of the jailer, of `jailer/`. */
  jailer: string;
  /** User to become; undefined without root, when user, files and network stay ours. */
  uid: number | undefined;
  /** Network namespace to join. */
  networkPath?: string | undefined;
  /** A tap device of that namespace, and the descriptor that QEMU finds it at. */
  tap?: { name: string; descriptor: number } | undefined;
  /** Device of which it gets a node of its own. */
  kvmDevice?: string | undefined;
  /** Whether it may make sockets of the internet protocols: as the user network does. */
  internet: boolean;
  /** No file may grow beyond so many bytes. */
  fileBytes?: number | undefined;
  /** Whether it is killed when this process ends. */
  dieWithParent?: boolean;
}

/** A user of no machine, for trying what a machine could do. */
export const probeUid = 299_998;

/**
 * Wraps a command so that it runs in a jail. The jailer replaces itself by the program, so the pid stays the same.
 * @param command its first word is a path from the root on
 * @param descriptors those above 2 that it keeps
 */
export function jailed(command: readonly string[], jail: Jail, descriptors: readonly number[]): string[] {
  const { jailer, uid, networkPath, tap, kvmDevice, internet, fileBytes, dieWithParent } = jail;
  const root = uid === undefined ? [] : [`-uid=${uid}`];
  if (uid !== undefined) {
    if (networkPath !== undefined) root.push(`-network=${networkPath}`);
    if (tap !== undefined) root.push(`-tap=${tap.name}`, `-tap-descriptor=${tap.descriptor}`);
    if (kvmDevice !== undefined) root.push(`-kvm=${kvmDevice}`);
  }
  return [
    jailer,
    ...root,
    ...(descriptors.length === 0 ? [] : [`-descriptors=${descriptors.join(',')}`]),
    ...(internet ? ['-internet'] : []),
    ...(fileBytes === undefined ? [] : [`-file-bytes=${fileBytes}`]),
    ...(dieWithParent === true ? ['-die-with-parent'] : []),
    '--',
    ...command,
  ];
}
