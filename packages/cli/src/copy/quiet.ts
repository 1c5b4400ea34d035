/**
 * The commands with which copies work in a sandbox are not the user's: lists leave them out, and their output is kept
 * out of the logs.
 */
export const quietly = { log: false, listed: false } as const;
