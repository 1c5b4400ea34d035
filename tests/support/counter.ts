import type { TestSandbox } from './api.ts';
import { eventually } from '@opencomputer/testing/eventually';

const count = 'n=0; while :; do n=$((n+1)); echo $n > ~/.count && mv ~/.count ~/counter; sleep 0.2; done';

/** Starts a process in the sandbox that counts in a file for as long as it lives, and waits for its first number. */
export async function startCounter(sandbox: TestSandbox): Promise<void> {
  await sandbox.output(`nohup sh -c '${count}' >/dev/null 2>&1 &`);
  await eventually('the counter counts', async () => (await counterOf(sandbox)) > 0);
}

export async function counterOf(sandbox: TestSandbox): Promise<number> {
  return Number((await sandbox.read('/home/sandbox/counter')).toString());
}
