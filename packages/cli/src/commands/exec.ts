import { Command } from 'commander';
import { App } from '../app.ts';
import { withExamples } from '../examples.ts';
import { LocalError } from '../output/errors.ts';
import { relay, relayCallbacks } from '../terminal/relay.ts';
import { envOption, integer } from '../values.ts';
import { sandboxArgument } from './arguments.ts';
import { attachCommand, killCommand, listCommand } from './exec-sessions.ts';
import type { Sandbox } from '@opencomputer/sdk';

interface ExecFlags {
  cwd?: string;
  timeout?: number;
  env?: Record<string, string>;
  wait?: boolean;
  detach?: boolean;
  log: boolean;
  stdin: boolean;
  keepAwake: boolean;
}

/** A command that is waited for may take as long as the platform allows: a day. */
const longestWaitSeconds = 86_400;
/** The exit code of `timeout` of coreutils. */
const exitByTimeout = 124;

async function execute(id: string, words: string[], flags: ExecFlags, self: Command): Promise<void> {
  const app = await App.of(self);
  const [command, ...args] = words;
  if (command === undefined)
    throw new LocalError('there is no command', { hint: `oc exec ${id} -- ls -l /`, code: 'usage' });
  const sandbox = await app.connect(id);
  if (flags.detach === true) await detach(app, sandbox, command, args, flags);
  else if (flags.wait === true || app.json) await wait(app, sandbox, words, flags);
  else {
    const { cwd, timeout, env, keepAwake, log } = flags;
    const options = { args, cwd, timeout, env, keepAwake, log, ...relayCallbacks() };
    const session = await sandbox.exec.start(command, options);
    process.exitCode = exitCodeOf(await relay(session, { input: flags.stdin, signals: 'pass' }), flags);
  }
}

async function detach(
  app: App,
  sandbox: Sandbox,
  command: string,
  args: string[],
  { cwd, timeout, env, keepAwake, log }: ExecFlags,
): Promise<void> {
  const onStdout = (): void => undefined;
  const session = await sandbox.exec.start(command, { args, cwd, timeout, env, keepAwake, log, onStdout });
  await session.closeStdin();
  session.close();
  const { sandboxId } = sandbox;
  app.tell(`its output: oc exec attach ${sandboxId} ${session.sessionId}`);
  app.show({ sessionID: session.sessionId, sandboxID: sandboxId }, () => session.sessionId);
}

async function wait(app: App, sandbox: Sandbox, words: string[], flags: ExecFlags): Promise<void> {
  const { cwd, env, log, timeout = longestWaitSeconds } = flags;
  const result = await app.during(`running ${words[0]}`, () =>
    sandbox.exec.run(shellLine(words), { cwd, env, timeout, log }),
  );
  if (app.json) app.show(result, () => '');
  else {
    process.stdout.write(result.stdout);
    process.stderr.write(result.stderr);
    if (result.truncated) process.stderr.write('oc: the oldest output is missing, there was too much\n');
  }
  process.exitCode = exitCodeOf(result.exitCode, flags);
}

/** One word is a line of shell, as for sessions; several are a program and its arguments. */
export function shellLine(words: readonly string[]): string {
  const quoted = words.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`);
  return words.length === 1 && /\s/.test(words[0] ?? '') ? (words[0] ?? '') : `exec ${quoted.join(' ')}`;
}

function exitCodeOf(code: number, { timeout }: ExecFlags): number {
  if (code >= 0) return code;
  if (timeout !== undefined) process.stderr.write(`oc: the command did not end within ${timeout} s\n`);
  return exitByTimeout;
}

/** `oc exec`. */
export function execCommand(): Command {
  const command = new Command('exec')
    .summary('run a command in a sandbox')
    .description(
      'Runs a command in a sandbox as user sandbox, with your standard input, output and signals, and ends with its exit code. One word with spaces is run by a shell.',
    )
    .usage('<sandbox> [options] -- <command> [arguments]\n       oc exec list|attach|kill ...')
    .addArgument(sandboxArgument())
    .argument('[command...]', 'the command, after --')
    .option('--cwd <DIRECTORY>', 'where it runs; default /home/sandbox')
    .option('--timeout <SECONDS>', 'kill it after so long; default never', integer(1, longestWaitSeconds))
    .addOption(envOption())
    .option('-n, --no-stdin', 'give it no input')
    .option('--no-log', 'keep its output out of the logs of the sandbox')
    .option('--wait', 'print its output when it has ended; with --json: as JSON')
    .option('-d, --detach', 'print the id of its session, and let it run on')
    .option('--no-keep-awake', 'let the sandbox hibernate while it runs: a service in the background')
    .action(execute)
    .addCommand(listCommand())
    .addCommand(attachCommand())
    .addCommand(killCommand());
  return withExamples(
    command,
    'oc exec sb-0a1b2c3d -- uname -a',
    "oc exec sb-0a1b2c3d -- 'ls /etc | wc -l'",
    'tar c README.md | oc exec sb-0a1b2c3d -- tar xv',
    'oc exec sb-0a1b2c3d --detach -- sleep 600',
  );
}
