import { Command, Option } from 'commander';
import { Sandbox } from '@opencomputer/sdk';
import { App } from '../app.ts';
import { withExamples } from '../examples.ts';
import { sandboxFields, sandboxJson, sandboxTable } from '../output/sandboxes.ts';
import { envOption, idleTimeoutOption, integer, metadataOption } from '../values.ts';
import { sandboxArgument } from './arguments.ts';
import { powerCommands } from './power.ts';
import type { SandboxStatus } from '@opencomputer/sdk';

interface CreateFlags {
  timeout?: number;
  cpu?: number;
  memory?: number;
  disk?: number;
  template?: string;
  env?: Record<string, string>;
  metadata?: Record<string, string>;
}

/** `oc create`, and `oc sandbox create`. */
export function createCommand(words = 'oc create'): Command {
  const command = new Command('create')
    .summary('make a sandbox')
    .description('Makes a sandbox and prints its id. It runs and takes commands at once.')
    .addOption(idleTimeoutOption())
    .option('--cpu <N>', 'virtual CPUs; default 1', integer(1))
    .option('--memory <MIB>', 'memory in MiB; default 1024', integer(1))
    .option('--disk <MIB>', 'size of the disk in MiB; default 20480', integer(1))
    .option('--template <NAME>', 'what it begins from; default base')
    .addOption(envOption())
    .addOption(metadataOption())
    .action(async (flags: CreateFlags, self: Command) => {
      const app = await App.of(self);
      const { timeout, template, env, metadata, cpu, memory, disk } = flags;
      const sandbox = await app.during('making a sandbox', () =>
        Sandbox.create({
          ...app.connection,
          timeout,
          template,
          envs: env,
          metadata,
          cpuCount: cpu,
          memoryMB: memory,
          diskMB: disk,
        }),
      );
      app.show(sandboxJson(sandbox), () => sandbox.sandboxId);
    });
  return withExamples(
    command,
    words,
    `${words} --cpu 2 --memory 512 --env STAGE=test --metadata project=demo`,
    `id=$(${words}) && oc exec $id -- uname -a`,
  );
}

interface ListFlags {
  status?: SandboxStatus | 'all';
  metadata?: Record<string, string>;
  quiet?: boolean;
}

/** `oc ls`, and `oc sandbox list`. */
export function listCommand(name: 'ls' | 'list'): Command {
  const command = new Command(name)
    .summary('list sandboxes, newest first')
    .description(
      'Lists the sandboxes of your key, newest first; those that have ended only with --status all.',
    )
    .addOption(
      new Option('--status <STATUS>', 'only those of this state').choices([
        'running',
        'hibernated',
        'stopped',
        'error',
        'all',
      ]),
    )
    .addOption(metadataOption('only those with this pair; repeatable'))
    .option('-q, --quiet', 'print ids only')
    .action(async (flags: ListFlags, self: Command) => {
      const app = await App.of(self);
      const { status, metadata, quiet } = flags;
      const sandboxes: Sandbox[] = [];
      for await (const sandbox of Sandbox.list({ ...app.connection, status, metadata }))
        sandboxes.push(sandbox);
      app.show(sandboxes.map(sandboxJson), () => {
        if (quiet === true) return sandboxes.map(({ sandboxId }) => sandboxId).join('\n');
        return sandboxes.length === 0 && process.stdout.isTTY
          ? 'There are no sandboxes. `oc create` makes one.'
          : sandboxTable(sandboxes, app.paint);
      });
    });
  if (name === 'list') command.alias('ls');
  const words = name === 'ls' ? 'oc ls' : 'oc sandbox list';
  return withExamples(command, words, `${words} --status running --metadata project=demo --quiet`);
}

/** `oc kill`, and `oc sandbox kill`. */
export function killCommand(words = 'oc kill'): Command {
  const command = new Command('kill')
    .summary('end sandboxes and delete their disks')
    .description('Ends sandboxes and deletes their disks. Their checkpoints stay until they are deleted.')
    .addArgument(sandboxArgument('<sandboxes...>'))
    .action(async (ids: string[], _: object, self: Command) => {
      const app = await App.of(self);
      for (const id of ids) {
        const sandbox = await app.connect(id);
        await app.during(`ending ${id}`, () => sandbox.kill());
        app.show({ sandboxID: id, status: 'stopped' }, () => `killed ${id}`);
      }
    });
  return withExamples(command, `${words} sb-0a1b2c3d`);
}

function getCommand(): Command {
  const command = new Command('get')
    .summary('show a sandbox')
    .description('Shows what is known about a sandbox.')
    .addArgument(sandboxArgument())
    .action(async (id: string, _: object, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      app.show(sandboxJson(sandbox), () => sandboxFields(sandbox, app.paint));
    });
  return withExamples(command, 'oc sandbox get sb-0a1b2c3d', 'oc sandbox get sb-0a1b2c3d --json');
}

/** `oc sandbox`. */
export function sandboxCommand(): Command {
  const command = new Command('sandbox')
    .summary('make, list, stop and wake sandboxes')
    .description('Sandboxes are Linux machines: make them, look at them, stop and wake them.')
    .addCommand(createCommand('oc sandbox create'))
    .addCommand(listCommand('list'))
    .addCommand(getCommand())
    .addCommand(killCommand('oc sandbox kill'));
  for (const each of powerCommands()) command.addCommand(each);
  return withExamples(command, 'oc sandbox list', 'oc sandbox hibernate sb-0a1b2c3d');
}
