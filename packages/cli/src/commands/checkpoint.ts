import { Command, Option } from 'commander';
import { Sandbox } from '@opencomputer/sdk';
import { App } from '../app.ts';
import { withExamples } from '../examples.ts';
import { checkpointTable } from '../output/checkpoints.ts';
import { sandboxJson } from '../output/sandboxes.ts';
import { idleTimeoutOption, integer } from '../values.ts';
import { checkpointArgument, sandboxArgument } from './arguments.ts';
import type { CheckpointInfo } from '@opencomputer/sdk';

interface CreateFlags {
  name: string;
  kind: 'full' | 'disk_only';
  promoteToFull?: boolean;
  requireQuiesced?: boolean;
  retentionPolicy?: 'none' | 'delete_oldest';
  retentionMaxCount?: number;
}

function createCommand(): Command {
  const command = new Command('create')
    .summary('keep the state of a sandbox, which goes on')
    .description('Keeps memory, processes and disk of a running sandbox, which goes on. Prints the id.')
    .addArgument(sandboxArgument())
    .requiredOption('--name <NAME>', 'its name, unique in the sandbox')
    .addOption(
      new Option('--kind <KIND>', 'disk_only: without memory; forks boot')
        .choices(['full', 'disk_only'])
        .default('full'),
    )
    .addOption(
      new Option('--retention-policy <MODE>', 'what happens to older checkpoints of this kind').choices([
        'none',
        'delete_oldest',
      ]),
    )
    .option('--retention-max-count <N>', 'how many to keep with delete_oldest', integer(1))
    .option(
      '--require-quiesced',
      'fail where the guest does not sync its disk in time, instead of saving it as it is',
    )
    .addOption(new Option('--promote-to-full').hideHelp())
    .action(async (id: string, flags: CreateFlags, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      const { name, kind, promoteToFull, requireQuiesced, retentionPolicy, retentionMaxCount } = flags;
      const checkpoint = await app.during(`taking checkpoint ${name}`, () =>
        sandbox.createCheckpoint(name, {
          kind,
          promoteToFull,
          requireQuiesced,
          ...(retentionPolicy === undefined
            ? {}
            : { retentionPolicy: { mode: retentionPolicy, maxCount: retentionMaxCount } }),
        }),
      );
      if (checkpoint.status === 'processing') app.tell('It is still being written; forks wait for that.');
      if (checkpoint.quiesced === false)
        app.tell('The guest did not answer in time: it was saved as it was, without a sync of its disk.');
      app.show(checkpoint, () => checkpoint.id);
    });
  return withExamples(
    command,
    'oc checkpoint create sb-0a1b2c3d --name ready',
    'oc checkpoint create sb-0a1b2c3d --name nightly --kind disk_only --retention-policy delete_oldest --retention-max-count 3',
  );
}

function listCommand(): Command {
  const command = new Command('list')
    .alias('ls')
    .summary('list checkpoints, newest first')
    .description('Lists the checkpoints of a sandbox, or all of yours, newest first.')
    .addArgument(sandboxArgument('[sandbox]'))
    .action(async (id: string | undefined, _: object, self: Command) => {
      const app = await App.of(self);
      const checkpoints: CheckpointInfo[] = [];
      if (id === undefined)
        for await (const each of Sandbox.listAllCheckpoints(app.connection)) checkpoints.push(each);
      else checkpoints.push(...(await (await app.connect(id)).listCheckpoints()));
      app.show(checkpoints, () =>
        checkpoints.length === 0 && process.stdout.isTTY
          ? 'There are no checkpoints.'
          : checkpointTable(checkpoints, app.paint),
      );
    });
  return withExamples(command, 'oc checkpoint list', 'oc checkpoint list sb-0a1b2c3d --json');
}

function restoreCommand(): Command {
  const command = new Command('restore')
    .summary('put a sandbox back to one of its checkpoints')
    .description('Puts a sandbox back to one of its checkpoints. What came after it is lost.')
    .addArgument(sandboxArgument())
    .addArgument(checkpointArgument())
    .action(async (id: string, checkpointId: string, _: object, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      await app.during(`restoring ${id}`, () => sandbox.restoreCheckpoint(checkpointId));
      app.show(sandboxJson(sandbox), () => `restored ${id}`);
    });
  return withExamples(command, 'oc checkpoint restore sb-0a1b2c3d 6f1d2c3b-4a59-4e68-8b77-0c1d2e3f4a5b');
}

function spawnCommand(): Command {
  const command = new Command('spawn')
    .summary('make a sandbox from a checkpoint')
    .description('Makes a sandbox from a checkpoint, with its disk, memory and processes. Prints the id.')
    .addArgument(checkpointArgument())
    .addOption(idleTimeoutOption())
    .action(async (checkpointId: string, { timeout }: { timeout?: number }, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.during('forking', () =>
        Sandbox.createFromCheckpoint(checkpointId, { ...app.connection, timeout }),
      );
      app.show(sandboxJson(sandbox), () => sandbox.sandboxId);
    });
  return withExamples(command, 'oc checkpoint spawn 6f1d2c3b-4a59-4e68-8b77-0c1d2e3f4a5b');
}

function deleteCommand(): Command {
  const command = new Command('delete')
    .summary('delete a checkpoint of a sandbox')
    .description('Deletes a checkpoint. Sandboxes that came from it are not affected.')
    .addArgument(sandboxArgument())
    .addArgument(checkpointArgument())
    .action(async (id: string, checkpointId: string, _: object, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      await app.during('deleting the checkpoint', () => sandbox.deleteCheckpoint(checkpointId));
      app.show({ id: checkpointId, deleted: true }, () => `deleted ${checkpointId}`);
    });
  return withExamples(command, 'oc checkpoint delete sb-0a1b2c3d 6f1d2c3b-4a59-4e68-8b77-0c1d2e3f4a5b');
}

function publicityCommand(name: 'publish' | 'unpublish', summary: string, description: string): Command {
  const call = name === 'publish' ? Sandbox.publishCheckpoint : Sandbox.unpublishCheckpoint;
  const command = new Command(name)
    .summary(summary)
    .description(description)
    .addArgument(checkpointArgument())
    .action(async (checkpointId: string, _: object, self: Command) => {
      const app = await App.of(self);
      const checkpoint = await call(checkpointId, app.connection);
      app.show(checkpoint, () => `${checkpointId} is ${checkpoint.isPublic ? 'public' : 'yours alone'}`);
    });
  return withExamples(command, `oc checkpoint ${name} 6f1d2c3b-4a59-4e68-8b77-0c1d2e3f4a5b`);
}

/** `oc checkpoint`. */
export function checkpointCommand(): Command {
  const command = new Command('checkpoint')
    .summary('keep states of sandboxes, and go back to them')
    .description(
      'Checkpoints keep the state of a running sandbox: to go back to it, or to fork it into many.',
    )
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(restoreCommand())
    .addCommand(spawnCommand())
    .addCommand(deleteCommand())
    .addCommand(
      publicityCommand(
        'publish',
        'let every key fork a checkpoint',
        'Lets every key of the installation fork a checkpoint, and so read its memory, disk and environment.',
      ),
    )
    .addCommand(
      publicityCommand(
        'unpublish',
        'keep a checkpoint to yourself again',
        'Keeps a checkpoint to yourself again. Forks that others have made stay theirs.',
      ),
    );
  return withExamples(
    command,
    'oc checkpoint create sb-0a1b2c3d --name ready',
    'oc checkpoint list sb-0a1b2c3d',
  );
}
