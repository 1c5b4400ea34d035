import type { Sandbox } from '../../packages/sdk/src/index.ts';
import type { BareMachine } from '../bare-machine.ts';
import { runDirectly, runInSandbox } from './commands.ts';

/** What people do first: a program, some files. */
const lightly =
  'head -c 8M /dev/urandom > /tmp/file && python3 -c "import json, http.client" && find /usr/share/doc -type f | wc -l > /dev/null && echo used';

/** The same light use of both kinds of machine. */
export const use = {
  ours: (sandbox: Sandbox): Promise<void> => runInSandbox(sandbox, lightly, 'used\n'),
  floor: ({ channel }: BareMachine): Promise<void> => runDirectly(channel, lightly, 'used\n'),
};

/** A line of shell that has a process hold this many MB that no image has. */
export function holdMemory(megabytes: number): string {
  const program = `import os, time; held = os.urandom(${megabytes} << 20); open('/dev/shm/held', 'w').close(); time.sleep(1e6)`;
  return (
    `rm -f /dev/shm/held; setsid python3 -c "${program}" > /dev/null 2>&1 < /dev/null & ` +
    'until test -e /dev/shm/held; do sleep 0.1; done; echo held'
  );
}
