import { Command } from 'commander';
import { App } from '../app.ts';
import { withExamples } from '../examples.ts';
import { LocalError } from '../output/errors.ts';
import { sessionTable } from '../output/sessions.ts';
import { LocalTerminal } from '../terminal/local.ts';
import { ShellView } from '../terminal/shell.ts';
import { envOption } from '../values.ts';
import { sandboxArgument, sessionArgument } from './arguments.ts';
import type { OpenPty } from '../terminal/shell.ts';

interface ShellFlags {
  shell?: string;
  cwd?: string;
  env?: Record<string, string>;
}

async function view(id: string, open: OpenPty): Promise<void> {
  const terminal = new LocalTerminal();
  let sessionId: string | undefined;
  try {
    const code = await new ShellView(terminal).run(async (options) => {
      const pty = await open(options);
      ({ sessionId } = pty);
      return pty;
    });
    process.exitCode = code & 0xff;
  } catch (error) {
    if (sessionId === undefined || !(error instanceof Error)) throw error;
    throw new LocalError(error.message, {
      hint: `oc shell attach ${id} ${sessionId} goes on with it.`,
      code: 'left',
      cause: error,
    });
  }
}

function listCommand(): Command {
  const command = new Command('list')
    .alias('ls')
    .summary('list the terminals of a sandbox')
    .description('Lists the terminals of a sandbox.')
    .addArgument(sandboxArgument())
    .action(async (id: string, _: object, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      const terminals = await sandbox.pty.list();
      app.show(terminals, () => sessionTable(terminals, app.paint));
    });
  return withExamples(command, 'oc shell list sb-0a1b2c3d');
}

function attachCommand(): Command {
  const command = new Command('attach')
    .summary('go on with a terminal that runs')
    .description('Goes on with a terminal that runs, with what it shows.')
    .addArgument(sandboxArgument())
    .addArgument(sessionArgument())
    .action(async (id: string, sessionId: string, _: object, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      await view(id, (options) => sandbox.pty.attach(sessionId, options));
    });
  return withExamples(command, 'oc shell attach sb-0a1b2c3d 3f9a01bc');
}

function killCommand(): Command {
  const command = new Command('kill')
    .summary('close a terminal and end what runs in it')
    .description('Closes a terminal. Its processes get SIGHUP, and are killed two seconds later.')
    .addArgument(sandboxArgument())
    .addArgument(sessionArgument())
    .action(async (id: string, sessionId: string, _: object, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      const terminal = await sandbox.pty.attach(sessionId, { onOutput: () => undefined });
      await terminal.kill();
      terminal.close();
      app.show({ sessionID: sessionId, killed: true }, () => `closed ${sessionId}`);
    });
  return withExamples(command, 'oc shell kill sb-0a1b2c3d 3f9a01bc');
}

/** `oc shell`. */
export function shellCommand(): Command {
  const command = new Command('shell')
    .summary('open a terminal in a sandbox')
    .description(
      'Opens a terminal in a sandbox and ends with the exit code of its shell. All keys go to the sandbox. When the connection is lost, it comes back by itself.',
    )
    .usage('<sandbox> [options]\n       oc shell list|attach|kill ...')
    .addArgument(sandboxArgument())
    .option('--shell <PATH>', 'the program in it; default /bin/bash')
    .option('--cwd <DIRECTORY>', 'where it begins; default /home/sandbox')
    .addOption(envOption())
    .action(async (id: string, { shell, cwd, env }: ShellFlags, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      await view(id, (options) => sandbox.pty.create({ ...options, shell, cwd, env }));
    })
    .addCommand(listCommand())
    .addCommand(attachCommand())
    .addCommand(killCommand());
  return withExamples(command, 'oc shell sb-0a1b2c3d', 'oc shell sb-0a1b2c3d --shell /usr/bin/python3');
}
