import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { LocalError } from '../output/errors.ts';
import { readStdin } from './stdin.ts';

/** Reads a value from standard input; at a terminal it prompts, and does not show what is typed. */
export async function readSecret(question: string): Promise<string> {
  if (!process.stdin.isTTY) return readStdin();
  process.stderr.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve);
      lines.once('close', () => reject(new LocalError('nothing was entered')));
      lines.once('SIGINT', () => reject(new LocalError('nothing was entered')));
    });
  } finally {
    lines.close();
    process.stderr.write('\n');
  }
}
