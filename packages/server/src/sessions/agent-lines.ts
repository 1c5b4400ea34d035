import type { StartAgent } from '@opencomputer/protocol';

/** A line of the protocol that agent programs speak on their standard input. */
function line(message: object): string {
  return `${JSON.stringify(message)}\n`;
}

export const interruptLine = line({ type: 'interrupt' });

export function promptLine(text: string, resume?: string): string {
  return line({ type: 'prompt', text, ...(resume === undefined ? {} : { resume }) });
}

/** What an agent program is told first: how to work, then what to do. */
export function startLines({ prompt, ...config }: StartAgent): string {
  const configure = Object.keys(config).length === 0 ? '' : line({ type: 'configure', ...config });
  return configure + (prompt ? promptLine(prompt, config.resume) : '');
}
