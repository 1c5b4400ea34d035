import { mkdtempSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answerHeartbeats } from '@opencomputer/process/heartbeat';

// A part for tests: ready at once, ends with its launcher, takes a while to end in good order (SIGTERM), and blocks
// every thread when it is told to (SIGUSR2).
const endingMs = 1000;
answerHeartbeats(() => stat('/'));
process.once('disconnect', () => process.exit(0));
process.once('SIGTERM', () => setTimeout(() => process.exit(0), endingMs));
process.once('SIGUSR2', () => {
  const fifo = join(mkdtempSync(join(tmpdir(), 'oc-part-')), 'fifo');
  execFileSync('mkfifo', [fifo]);
  // Opening one waits for somebody to write to it. Four are all the threads that there are.
  for (let thread = 0; thread < 4; thread++) void open(fifo, 'r');
});
process.send?.('ready');
