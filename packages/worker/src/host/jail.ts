/** What a jail leaves to QEMU. */
export interface Jail {
  /** Path of the jailer, of `jailer/`. */
  jailer: string;
  /** User to become; undefined without root: then user, files and network are our own. */
  uid: number | undefined;
  /** Network namespace to join. */
  networkPath?: string | undefined;
  /** A tap device of that namespace, and the descriptor that QEMU finds it at. */
  tap?: { name: string; descriptor: number } | undefined;
  /** A device that exists in the jail. */
  kvmDevice?: string | undefined;
  /** Whether it may use internet sockets, as QEMU's user networking does. */
  internet: boolean;
  /** No file may grow beyond this size, in bytes. */
  fileBytes?: number | undefined;
  /** Whether it is killed when this process ends. */
  dieWithParent?: boolean;
}

/** A user that no machine has, for probing what a machine could do. */
export const probeUid = 299_998;

/** The descriptors that a program gets beside the standard ones. */
export interface Opened {
  /** Descriptors above 2 that it is started with. */
  readonly kept?: readonly number[];
  /**
   * Paths of listening unix sockets that the jailer makes for the program, replacing any file there. Only our own user
   * may connect. The paths are relative to the working directory, which nobody else may write.
   */
  readonly sockets?: Readonly<Record<string, number>>;
}

/**
 * Wraps a command so that it runs in a jail. The jailer replaces itself by the program, so the pid stays the same.
 * @param command its first word is an absolute path
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
