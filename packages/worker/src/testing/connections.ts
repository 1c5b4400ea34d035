import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { onTestFinished } from 'vitest';

const begun = 'net.client.socket';

/** Counts the connections that this process begins in the running test, also those that nobody takes. */
export function countConnections(): () => number {
  let count = 0;
  const seen = (): void => void count++;
  subscribe(begun, seen);
  onTestFinished(() => void unsubscribe(begun, seen));
  return () => count;
}
