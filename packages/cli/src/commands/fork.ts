import { Command } from 'commander';
import { App } from '../app.ts';
import { withExamples } from '../examples.ts';
import { sandboxJson } from '../output/sandboxes.ts';
import { envOption, idleTimeoutOption, integer, metadataOption } from '../values.ts';
import { sandboxArgument } from './arguments.ts';

interface ForkFlags {
  count: number;
  name?: string;
  timeout?: number;
  env?: Record<string, string>;
  metadata?: Record<string, string>;
}

/** `oc fork`. */
export function forkCommand(): Command {
  const command = new Command('fork')
    .summary('copy a running sandbox, with its memory and processes')
    .description(
      'Takes a checkpoint of a sandbox, which goes on, and makes sandboxes from it: all or none. Prints their ids.',
    )
    .addArgument(sandboxArgument())
    .option('-n, --count <N>', 'how many, 1 to 50', integer(1, 50), 1)
    .option('--name <NAME>', 'keep the checkpoint under this name')
    .addOption(idleTimeoutOption())
    .addOption(envOption())
    .addOption(metadataOption())
    .action(async (id: string, { env, ...flags }: ForkFlags, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      const forks = await app.during(`forking ${id}`, () => sandbox.fork({ ...flags, envs: env }));
      app.show(forks.map(sandboxJson), () => forks.map(({ sandboxId }) => sandboxId).join('\n'));
    });
  return withExamples(command, 'oc fork sb-0a1b2c3d', 'oc fork sb-0a1b2c3d --count 3 --env CASE=1');
}
