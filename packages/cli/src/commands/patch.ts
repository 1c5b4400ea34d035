import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { Sandbox } from '@opencomputer/sdk';
import { App } from '../app.ts';
import { withExamples } from '../examples.ts';
import { formatAge } from '../output/format.ts';
import { formatTable } from '../output/table.ts';
import { readStdin } from '../terminal/stdin.ts';
import { checkpointArgument } from './arguments.ts';

function createCommand(): Command {
  const command = new Command('create')
    .summary('add a script that forks run once')
    .description(
      'Adds a script that sandboxes run once, in order, when they are forked from the checkpoint. Prints the id.',
    )
    .addArgument(checkpointArgument())
    .requiredOption('--script <FILE>', 'file of the script; - reads standard input')
    .option('--description <TEXT>', 'what it is for')
    .action(async (checkpointId: string, flags: { script: string; description?: string }, self: Command) => {
      const app = await App.of(self);
      const script = flags.script === '-' ? await readStdin() : await readFile(flags.script, 'utf8');
      const { description } = flags;
      const { patch } = await Sandbox.createCheckpointPatch(checkpointId, {
        ...app.connection,
        script,
        description,
      });
      app.show(patch, () => patch.id);
    });
  return withExamples(
    command,
    "echo 'touch /home/sandbox/patched' | oc patch create 6f1d2c3b-4a59-4e68-8b77-0c1d2e3f4a5b --script - --description note",
  );
}

function listCommand(): Command {
  const command = new Command('list')
    .alias('ls')
    .summary('list the patches of a checkpoint')
    .description('Lists the patches of a checkpoint in the order in which they run.')
    .addArgument(checkpointArgument())
    .action(async (checkpointId: string, _: object, self: Command) => {
      const app = await App.of(self);
      const patches = await Sandbox.listCheckpointPatches(checkpointId, app.connection);
      app.show(patches, () =>
        formatTable(
          ['ID', 'ORDER', 'CREATED', 'DESCRIPTION'],
          patches.map((each) => [
            each.id,
            String(each.sequence),
            formatAge(new Date(each.createdAt)),
            each.description,
          ]),
          app.paint,
        ),
      );
    });
  return withExamples(command, 'oc patch list 6f1d2c3b-4a59-4e68-8b77-0c1d2e3f4a5b');
}

function deleteCommand(): Command {
  const command = new Command('delete')
    .summary('remove a patch')
    .description('Removes a patch. Sandboxes that have run it stay as they are.')
    .addArgument(checkpointArgument())
    .argument('<patch>', 'id of a patch, a UUID')
    .action(async (checkpointId: string, patchId: string, _: object, self: Command) => {
      const app = await App.of(self);
      await Sandbox.deleteCheckpointPatch(checkpointId, patchId, app.connection);
      app.show({ id: patchId, deleted: true }, () => `deleted ${patchId}`);
    });
  return withExamples(
    command,
    'oc patch delete 6f1d2c3b-4a59-4e68-8b77-0c1d2e3f4a5b 0b9a8c7d-6e5f-4a4b-9c3d-2e1f0a9b8c7d',
  );
}

/** `oc patch`. */
export function patchCommand(): Command {
  const command = new Command('patch')
    .summary('scripts that forks of a checkpoint run once')
    .description(
      'Patches are scripts that forks of a checkpoint run once, so that old checkpoints get new content.',
    )
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(deleteCommand());
  return withExamples(command, 'oc patch list 6f1d2c3b-4a59-4e68-8b77-0c1d2e3f4a5b');
}
