import { Command } from 'commander';
import { App } from '../app.ts';
import { withExamples } from '../examples.ts';
import { runPart } from '../platform/parts.ts';

async function keys(self: Command, args: readonly string[]): Promise<void> {
  const app = await App.of(self);
  const { exitCode } = await runPart('keys', [...(app.json ? ['--json'] : []), ...args], 'show');
  process.exitCode = exitCode;
}

/** `oc keys`. */
export function keysCommand(): Command {
  const add = new Command('add')
    .summary('make a key')
    .description('Makes a key and prints it, once. Sandboxes belong to the owner of the key that made them.')
    .argument('<name>', 'what to call it')
    .option('--owner <OWNER>', 'whose it is')
    .action(async (name: string, { owner }: { owner?: string }, self: Command) =>
      keys(self, ['add', ...(owner === undefined ? [] : [`--owner=${owner}`]), '--', name]),
    );
  const list = new Command('list')
    .alias('ls')
    .summary('list keys, without their secret part')
    .description('Lists the keys of the platform on this host, without their secret part.')
    .action(async (_: object, self: Command) => keys(self, ['list']));
  const revoke = new Command('revoke')
    .summary('end a key')
    .description('Ends a key. It takes effect within a second, also while the platform runs.')
    .argument('<key>', 'its id or prefix')
    .action(async (key: string, _: object, self: Command) => keys(self, ['revoke', '--', key]));
  const command = new Command('keys')
    .summary('make and end API keys of the platform on this host')
    .description('API keys of the platform on this host, for its operator.')
    .addCommand(withExamples(add, 'oc keys add alice --owner alice'))
    .addCommand(withExamples(list, 'oc keys list'))
    .addCommand(withExamples(revoke, 'oc keys revoke key-1a2b3c4d'));
  return withExamples(command, 'oc keys list');
}
