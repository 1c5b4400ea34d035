/**
 * Calls a callback. What it throws becomes an uncaught exception, as in any event handler: it must neither reach the
 * socket nor prevent the next event.
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

/** A promise that may be ignored: its rejection is not reported as unhandled. */
export function ignorable<Value>(promise: Promise<Value>): Promise<Value> {
  promise.catch(() => undefined);
  return promise;
}
