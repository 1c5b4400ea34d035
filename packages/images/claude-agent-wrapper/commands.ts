import { type Configuration, parseConfiguration } from './configuration.ts';

/** What a line on stdin asks for. */
export type Command =
  | { type: 'configure'; configuration: Configuration }
  | { type: 'prompt'; text: string; resume?: string }
  | { type: 'interrupt' };

/** A line that asks for nothing we do; the message goes to the client. */
export class CommandError extends Error {}

/** Characters of a client's own text that an error message repeats. */
const quoted = 100;

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new CommandError('invalid JSON input', { cause: error });
  }
}

/**
 * Reads one line of input.
 * @throws CommandError saying what is wrong with it
 */
export function parseCommand(line: string): Command {
  const value = parseJson(line);
  if (!isRecord(value)) throw new CommandError('invalid JSON input: a command is an object with a type');
  switch (value['type']) {
    case 'configure':
      return { type: 'configure', configuration: configurationOf(value) };
    case 'prompt': {
      const { text, resume } = value;
      if (typeof text !== 'string' || text.trim() === '') throw new CommandError('prompt text is required');
      return {
        type: 'prompt',
        text,
        ...(typeof resume === 'string' && resume !== '' ? { resume } : {}),
      };
    }
    case 'interrupt':
      return { type: 'interrupt' };
    default:
      throw new CommandError(`unknown command type: ${String(value['type']).slice(0, quoted)}`);
  }
}

function configurationOf(value: Record<string, unknown>): Configuration {
  try {
    return parseConfiguration(value);
  } catch (error) {
    throw new CommandError(`invalid configuration: ${(error as Error).message}`, { cause: error });
  }
}
