import type { Command } from 'commander';

/** The ids in examples. A test replaces them by real ones and runs every example. */
export const sampleIds = {
  sandbox: 'sb-0a1b2c3d',
  checkpoint: '6f1d2c3b-4a59-4e68-8b77-0c1d2e3f4a5b',
  patch: '0b9a8c7d-6e5f-4a4b-9c3d-2e1f0a9b8c7d',
  session: '3f9a01bc',
} as const;

const examplesOf = new WeakMap<Command, readonly string[]>();

/** Gives a command examples, which its help shows as they are. */
export function withExamples(command: Command, ...examples: string[]): Command {
  examplesOf.set(command, examples);
  const lines = examples.map((line) => line.replaceAll('\n', '\n  '));
  return command.addHelpText('after', `\nExamples:\n  ${lines.join('\n  ')}`);
}

export function examplesFor(command: Command): readonly string[] {
  return examplesOf.get(command) ?? [];
}

/** A command and all below it, without the hidden ones. */
export function* commandTree(command: Command): Generator<Command> {
  yield command;
  for (const child of command.createHelp().visibleCommands(command))
    if (child.name() !== 'help') yield* commandTree(child);
}
