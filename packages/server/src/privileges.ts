/** A user and its group, by number. */
export interface User {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Makes this process an ordinary user of no further groups, for good. Nothing happens where it is that user already.
 * @throws Error when it is neither root nor that user
 */
export function becomeUser({ uid, gid }: User): void {
  const { setgroups, setgid, setuid, getuid } = process;
  if (getuid?.() === uid) return;
  if (getuid?.() !== 0 || !setgroups || !setgid || !setuid)
    throw new Error(`only root can become user ${uid}`);
  setgroups.call(process, []);
  setgid.call(process, gid);
  setuid.call(process, uid);
}
