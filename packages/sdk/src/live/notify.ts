/**
 * Calls back. What the callback throws becomes an uncaught exception, as in any handler of events: it must
 * neither reach the socket nor keep the next event from its turn.
 */
export function notify<Args extends unknown[]>(
  callback: ((...args: Args) => void) | undefined,
  ...args: Args
): void {
  try {
    callback?.(...args);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** A promise that may be ignored: its rejection is then nobody's business. */
export function ignorable<Value>(promise: Promise<Value>): Promise<Value> {
  promise.catch(() => undefined);
  return promise;
}
