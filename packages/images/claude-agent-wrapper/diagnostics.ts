import type { Writable } from 'node:stream';

const prefix = '[claude-agent-wrapper] ';
const maxLineLength = 8 * 1024;
/** Bytes that may wait for a reader; diagnostics beyond are dropped. */
const maxWaitingBytes = 1024 * 1024;

/** Says something to people, not to the protocol. */
export type Diagnose = (text: string) => void;

/** Writes diagnostics to a stream, each line with the prefix; a reader that does not read loses them. */
export function diagnosticWriter(output: Writable): Diagnose {
  return (text) => {
    for (const line of text.split('\n')) {
      if (line.trim() === '' || output.writableLength > maxWaitingBytes) continue;
      output.write(`${prefix}${line.trimEnd().slice(0, maxLineLength)}\n`);
    }
  };
}
