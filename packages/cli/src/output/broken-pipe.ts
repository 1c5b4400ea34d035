/** Exit code of a program that is ended by a broken pipe. */
const exitCode = 141;

let goodbye: (() => Promise<unknown>) | undefined;
let ending = false;

/** Runs first when the reader of standard output has gone. */
export function beforeBrokenPipe(work: () => Promise<unknown>): void {
  goodbye = work;
}

/** From now on `oc` ends like other programs when the reader of standard output has gone. */
export function endByBrokenPipe(): void {
  process.stdout.on('error', (failure: NodeJS.ErrnoException) => {
    if (failure.code !== 'EPIPE') throw failure;
    if (!ending) void end();
    ending = true;
  });
}

async function end(): Promise<never> {
  try {
    await goodbye?.();
  } finally {
    process.exit(exitCode);
  }
}
