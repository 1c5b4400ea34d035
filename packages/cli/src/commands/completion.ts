import { Argument, Command } from 'commander';
import { Sandbox } from '@opencomputer/sdk';
import { App } from '../app.ts';
import { candidates } from '../completion/candidates.ts';
import { completionScript, shells } from '../completion/scripts.ts';
import { withExamples } from '../examples.ts';
import type { Candidate } from '../completion/candidates.ts';
import type { Shell } from '../completion/scripts.ts';

/** A suggestion that takes longer is of no use. */
const idsMs = 2000;

/** `oc completion`. */
export function completionCommand(): Command {
  const command = new Command('completion')
    .summary('complete commands, flags and ids in your shell')
    .description('Prints a script with which your shell completes commands, flags and ids of sandboxes.')
    .addArgument(new Argument('<shell>', 'your shell').choices(shells))
    .action((shell: Shell) => {
      process.stdout.write(completionScript(shell));
    });
  return withExamples(
    command,
    'oc completion bash > ~/.oc-completion.bash && echo ". ~/.oc-completion.bash" >> ~/.bashrc',
    'oc completion zsh > ~/.oc-completion.zsh && echo ". ~/.oc-completion.zsh" >> ~/.zshrc',
    'mkdir -p ~/.config/fish/completions && oc completion fish > ~/.config/fish/completions/oc.fish',
  );
}

/** Called by the completion scripts, not by people. */
export function completeCommand(): Command {
  return new Command('__complete')
    .argument('[words...]')
    .action(async (words: string[], _: object, self: Command) => {
      const program = self.parent;
      if (program === null) return;
      const found = await candidates(program, words, () => sandboxIds(self));
      for (const { word, meaning } of found) process.stdout.write(`${word}\t${meaning}\n`);
    });
}

async function sandboxIds(self: Command): Promise<Candidate[]> {
  try {
    const { connection } = await App.of(self);
    const found: Candidate[] = [];
    const limits = { signal: AbortSignal.timeout(idsMs), limit: 100 };
    for await (const { sandboxes } of Sandbox.list({ ...connection, ...limits }).pages()) {
      for (const { sandboxId, status } of sandboxes) found.push({ word: sandboxId, meaning: status });
      break;
    }
    return found;
  } catch {
    // Without the platform there are no ids to suggest, and completion cannot show an error.
    return [];
  }
}
