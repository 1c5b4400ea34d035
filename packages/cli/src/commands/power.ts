import { Command } from 'commander';
import { App } from '../app.ts';
import { withExamples } from '../examples.ts';
import { sandboxJson } from '../output/sandboxes.ts';
import { idleTimeoutOption, integer } from '../values.ts';
import { sandboxArgument } from './arguments.ts';
import type { Sandbox } from '@opencomputer/sdk';

interface Change {
  name: string;
  summary: string;
  description: string;
  /** What is printed while it takes long, and when it is done. */
  doing: string;
  done: string;
  run: (sandbox: Sandbox) => Promise<void>;
}

const changes: readonly Change[] = [
  {
    name: 'hibernate',
    summary: 'save memory and processes, and let nothing run',
    description: 'Saves memory and processes to disk. Whatever uses the sandbox next wakes it where it was.',
    doing: 'saving',
    done: 'hibernated',
    run: (sandbox) => sandbox.hibernate(),
  },
  {
    name: 'reboot',
    summary: 'restart the system of a sandbox',
    description: 'Shuts its system down and starts it again. The disk is kept, processes are lost.',
    doing: 'restarting',
    done: 'rebooted',
    run: (sandbox) => sandbox.reboot(),
  },
  {
    name: 'power-cycle',
    summary: 'turn a sandbox off and on',
    description: 'Turns it off and on without asking its system. What was not on the disk yet is lost.',
    doing: 'restarting',
    done: 'power-cycled',
    run: (sandbox) => sandbox.powerCycle(),
  },
];

function changeCommand({ name, summary, description, doing, done, run }: Change): Command {
  const command = new Command(name)
    .summary(summary)
    .description(description)
    .addArgument(sandboxArgument())
    .action(async (id: string, _: object, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      await app.during(`${doing} ${id}`, () => run(sandbox));
      app.show(sandboxJson(sandbox), () => `${done} ${id}`);
    });
  return withExamples(command, `oc sandbox ${name} sb-0a1b2c3d`);
}

function wakeCommand(): Command {
  const command = new Command('wake')
    .summary('wake a hibernated sandbox')
    .description('Wakes a sandbox where it was. Any use of it does that too.')
    .addArgument(sandboxArgument())
    .addOption(idleTimeoutOption('default as before'))
    .action(async (id: string, { timeout }: { timeout?: number }, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      await app.during(`waking ${id}`, () => sandbox.wake({ timeout }));
      const { coldBootReason } = sandbox.info;
      if (coldBootReason !== undefined) app.tell(`It was started from its disk: ${coldBootReason}`);
      app.show(sandboxJson(sandbox), () => `woke ${id}`);
    });
  return withExamples(command, 'oc sandbox wake sb-0a1b2c3d', 'oc sandbox wake sb-0a1b2c3d --timeout 600');
}

function setTimeoutCommand(): Command {
  const command = new Command('set-timeout')
    .summary('set after how many idle seconds it hibernates')
    .description(
      'Sets after how many idle seconds the sandbox hibernates, 0 for never, and restarts that clock.',
    )
    .addArgument(sandboxArgument())
    .argument('<seconds>', 'idle seconds; 0: never', integer(0))
    .action(async (id: string, seconds: number, _: object, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      await sandbox.setTimeout(seconds);
      app.show({ sandboxID: id, timeout: seconds }, () => `timeout of ${id} is ${seconds} s`);
    });
  return withExamples(command, 'oc sandbox set-timeout sb-0a1b2c3d 900');
}

/** The commands that change the state of a sandbox. */
export function powerCommands(): Command[] {
  return [...changes.map(changeCommand), wakeCommand(), setTimeoutCommand()];
}
