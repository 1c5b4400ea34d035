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

/** What a program finds open, beside the standard descriptors. */
export interface Opened {
  /** Descriptors above 2 that it is started with. */
  readonly kept?: readonly number[];
  /**
   * Unix sockets that the jailer makes in place of what has their names, and that accept connections for the program,
   * by path. Only our own user may connect. The paths are relative to the working directory, which nobody else may
   * write.
   */
  readonly sockets?: Readonly<Record<string, number>>;
}

/**
 * Wraps a command so that it runs in a jail. The jailer replaces itself by the program, so the pid stays the same.
 * @param command its first word is a path from the root on
 */
export function jailed(
  command: readonly string[],
  jail: Jail,
  { kept = [], sockets = {} }: Opened = {},
): string[] {
  const listen = Object.entries(sockets).map(([path, descriptor]) => `${path}:${descriptor}`);
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
    ...(kept.length === 0 ? [] : [`-descriptors=${kept.join(',')}`]),
    ...(listen.length === 0 ? [] : [`-listen=${listen.join(',')}`]),
    ...(internet ? ['-internet'] : []),
    ...(fileBytes === undefined ? [] : [`-file-bytes=${fileBytes}`]),
    ...(dieWithParent === true ? ['-die-with-parent'] : []),
    '--',
    ...command,
  ];
}
