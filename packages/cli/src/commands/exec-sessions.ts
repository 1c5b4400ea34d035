import { Command, Option } from 'commander';
import { App } from '../app.ts';
import { withExamples } from '../examples.ts';
import { sessionTable } from '../output/sessions.ts';
import { relay, relayCallbacks } from '../terminal/relay.ts';
import { signalNumber } from '../values.ts';
import { sandboxArgument, sessionArgument } from './arguments.ts';

export function listCommand(): Command {
  const command = new Command('list')
    .alias('ls')
    .summary('list the commands of a sandbox')
    .description('Lists the commands that run in a sandbox, and the newest sessions that have ended.')
    .addArgument(sandboxArgument())
    .action(async (id: string, _: object, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      const sessions = await sandbox.exec.list();
      app.show(sessions, () => sessionTable(sessions, app.paint));
    });
  return withExamples(command, 'oc exec list sb-0a1b2c3d');
}

export function attachCommand(): Command {
  const command = new Command('attach')
    .summary('see what a command prints, and type to it')
    .description(
      'Shows the earlier output of a command (the newest 1 MiB is kept), then new output until it ends. Ctrl-C detaches from it; the command goes on.',
    )
    .addArgument(sandboxArgument())
    .addArgument(sessionArgument())
    .option('-n, --no-stdin', 'give it no input')
    .action(async (id: string, sessionId: string, { stdin }: { stdin: boolean }, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      const session = await sandbox.exec.attach(sessionId, relayCallbacks());
      const code = await relay(session, { input: stdin, signals: 'leave' });
      process.exitCode = code & 0xff;
    });
  return withExamples(command, 'oc exec attach sb-0a1b2c3d 3f9a01bc');
}

export function killCommand(): Command {
  const command = new Command('kill')
    .summary('send a signal to a command')
    .description('Sends a signal to a command and its children.')
    .addArgument(sandboxArgument())
    .addArgument(sessionArgument())
    .addOption(
      new Option('-s, --signal <SIGNAL>', 'number or name; default 9, KILL')
        .argParser(signalNumber)
        .default(9),
    )
    .action(async (id: string, sessionId: string, { signal }: { signal: number }, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      await sandbox.exec.kill(sessionId, signal);
      app.show({ sessionID: sessionId, signal }, () => `sent signal ${signal} to ${sessionId}`);
    });
  return withExamples(
    command,
    'oc exec kill sb-0a1b2c3d 3f9a01bc',
    'oc exec kill sb-0a1b2c3d 3f9a01bc --signal TERM',
  );
}
