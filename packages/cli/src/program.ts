import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { checkpointCommand } from './commands/checkpoint.ts';
import { completeCommand, completionCommand } from './commands/completion.ts';
import { configCommand } from './commands/config.ts';
import { copyCommand } from './commands/copy.ts';
import { execCommand } from './commands/exec.ts';
import { eventsCommand } from './commands/events.ts';
import { forkCommand } from './commands/fork.ts';
import { keysCommand } from './commands/keys.ts';
import { logsCommand } from './commands/logs.ts';
import { patchCommand } from './commands/patch.ts';
import { platformCommands } from './commands/platform.ts';
import { createCommand, killCommand, listCommand, sandboxCommand } from './commands/sandbox.ts';
import { shellCommand } from './commands/shell.ts';
import { commandTree, withExamples } from './examples.ts';

const groups: readonly (readonly [string, () => Command[]])[] = [
  ['Sandboxes:', () => [createCommand(), listCommand('ls').alias('list'), killCommand(), sandboxCommand()]],
  ['Work in them:', () => [execCommand(), shellCommand(), copyCommand(), logsCommand()]],
  ['State:', () => [forkCommand(), checkpointCommand(), patchCommand(), eventsCommand()]],
  ['Settings:', () => [configCommand(), completionCommand()]],
  ['Platform on this host:', () => [...platformCommands(), keysCommand()]],
];

function version(): string {
  const file = new URL('../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

/** An error of usage, with the head and the indent that all errors have. */
function inOurStyle(text: string): string {
  return text.replace(/^error: /, 'oc: ').replaceAll('\n(', '\n    (');
}

/** With JSON, the caller prints errors. */
const silent = { outputError: () => undefined, writeErr: () => undefined };

/**
 * The tree of commands. Wrong usage is explained on standard error, and throws a CommanderError.
 * @param json nothing is written on standard error
 */
export function buildProgram(json = false): Command {
  const program = new Command('oc')
    .description('Real computers for AI agents: make Linux machines, work in them, checkpoint and fork them.')
    .version(version(), '--version', 'print the version')
    .option('--json', 'print results, and errors, as JSON')
    .option('--no-color', 'print without colours')
    .addOption(new Option('--api-key <KEY>', 'API key; better set it with `oc config set api-key`'))
    .addOption(new Option('--api-url <URL>', 'address of the platform; default http://127.0.0.1:8080'))
    .helpCommand('help [command]', 'explain a command')
    .exitOverride()
    .configureOutput(json ? silent : { outputError: (text, write) => write(inOurStyle(text)) })
    .showHelpAfterError('    See `oc --help`.')
    .configureHelp({ showGlobalOptions: true });
  for (const [title, commands] of groups) {
    program.commandsGroup(title);
    for (const command of commands()) program.addCommand(command);
  }
  program.addCommand(completeCommand(), { hidden: true });
  for (const each of commandTree(program))
    for (const child of each.commands) {
      child.copyInheritedSettings(program);
      child.showHelpAfterError(`    See \`${pathOf(child)} --help\`.`);
    }
  return withExamples(program, 'oc up', 'oc create --metadata project=demo', 'oc help checkpoint');
}
