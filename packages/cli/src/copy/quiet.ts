/** What copies run in a sandbox is nobody's command, and what they carry is nothing for its logs. */
export const quietly = { log: false, listed: false } as const;
