import { commandTree } from '../examples.ts';
import type { Command, Option } from 'commander';

/** A word that may come next, and what it means. */
export interface Candidate {
  word: string;
  meaning: string;
}

/** Called for ids of sandboxes, which only the platform knows. */
export type SandboxIds = () => Promise<readonly Candidate[]>;

/**
 * The candidates for the last word.
 *
 * @param words - the words after `oc`; the last one is being typed and may be empty
 */
export async function candidates(
  program: Command,
  words: readonly string[],
  sandboxIds: SandboxIds,
): Promise<Candidate[]> {
  const last = words.at(-1) ?? '';
  const { command, operands, awaited } = follow(program, words.slice(0, -1));
  const found = await suggestions(command, operands, awaited, last, sandboxIds);
  return found.filter(({ word }) => word.startsWith(last));
}

interface Position {
  command: Command;
  /** Operands of the command that are there already. */
  operands: number;
  /** The option whose value comes next. */
  awaited: Option | undefined;
}

function follow(program: Command, words: readonly string[]): Position {
  let position: Position = { command: program, operands: 0, awaited: undefined };
  for (const word of words) {
    const { command, operands, awaited } = position;
    if (word === '--') return { command, operands: Number.POSITIVE_INFINITY, awaited: undefined };
    if (awaited !== undefined) position = { command, operands, awaited: undefined };
    else if (word.startsWith('-')) position = { command, operands, awaited: valueOption(command, word) };
    else {
      const child = operands === 0 ? childOf(command, word) : undefined;
      position = {
        command: child ?? command,
        operands: child === undefined ? operands + 1 : 0,
        awaited: undefined,
      };
    }
  }
  return position;
}

function childOf(command: Command, word: string): Command | undefined {
  return command.commands.find((each) => each.name() === word || each.aliases().includes(word));
}

function optionsOf(command: Command): Option[] {
  const above = command.parent === null ? [] : optionsOf(command.parent);
  return [...command.options.filter(({ hidden }) => !hidden), ...above];
}

function valueOption(command: Command, word: string): Option | undefined {
  if (word.includes('=')) return undefined;
  return optionsOf(command).find((each) => each.required && (each.long === word || each.short === word));
}

async function suggestions(
  command: Command,
  operands: number,
  awaited: Option | undefined,
  last: string,
  sandboxIds: SandboxIds,
): Promise<Candidate[]> {
  if (awaited !== undefined) return (awaited.argChoices ?? []).map((word) => ({ word, meaning: '' }));
  if (operands === Number.POSITIVE_INFINITY) return [];
  if (last.startsWith('-'))
    return optionsOf(command).map((each) => ({ word: each.long ?? each.flags, meaning: each.description }));
  const children =
    operands > 0
      ? []
      : [...commandTree(command)]
          .filter((each) => each.parent === command)
          .map((each) => ({ word: each.name(), meaning: each.summary() }));
  const argument = command.registeredArguments[Math.min(operands, command.registeredArguments.length - 1)];
  const fits = argument !== undefined && (operands < command.registeredArguments.length || argument.variadic);
  if (!fits) return children;
  const choices = (argument.argChoices ?? []).map((word) => ({ word, meaning: '' }));
  if (argument.name() === 'paths') {
    const ids = await sandboxIds();
    return ids.map(({ word, meaning }) => ({ word: `${word}:`, meaning }));
  }
  return [...children, ...choices, ...(argument.name().startsWith('sandbox') ? await sandboxIds() : [])];
}
