import { mkdtempSync, writeFileSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answerHeartbeats } from '@opencomputer/process/heartbeat';

// A part for tests: ready at once, ends with its launcher, makes the file ENDING on SIGTERM and takes a while to end, and
// blocks every thread on SIGUSR2.
const endingMs = 1000;
answerHeartbeats(() => stat('/'));
process.once('disconnect', () => process.exit(0));
process.once('SIGTERM', () => {
  const { ENDING: ending } = process.env;
  if (ending !== undefined) writeFileSync(ending, '');
  // Real time: how long it takes to end.
  setTimeout(() => process.exit(0), endingMs);
});
process.once('SIGUSR2', () => {
  const fifo = join(mkdtempSync(join(tmpdir(), 'oc-part-')), 'fifo');
  execFileSync('mkfifo', [fifo]);
  // Opening one blocks until somebody writes to it. There are four threads.
  for (let thread = 0; thread < 4; thread++) void open(fifo, 'r');
});
process.send?.('ready');
