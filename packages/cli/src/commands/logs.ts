import { Command, Option } from 'commander';
import { App } from '../app.ts';
import { withExamples } from '../examples.ts';
import { readLogs } from '../logs/stream.ts';
import { oneLine } from '../output/table.ts';
import { integer, time } from '../values.ts';
import { sandboxArgument } from './arguments.ts';
import type { LogEvent } from '../logs/stream.ts';

interface LogFlags {
  tail: boolean;
  since?: string;
  until?: string;
  grep?: string;
  source?: string;
  limit?: number;
}

/** `oc logs`. */
export function logsCommand(): Command {
  const command = new Command('logs')
    .summary('show the logs of a sandbox')
    .description(
      'Shows what the system and the commands of a sandbox log, and goes on with new lines until Ctrl-C. With --json every line is an object.',
    )
    .addArgument(sandboxArgument())
    .option('--no-tail', 'end after the lines that are there')
    .addOption(
      new Option('--since <TIME>', 'only lines from then on, such as 10m or 2026-01-31T12:00:00Z').argParser(
        time,
      ),
    )
    .addOption(new Option('--until <TIME>', 'only lines before then').argParser(time))
    .option('--grep <TEXT>', 'only lines that hold this text')
    .option('--source <NAMES>', 'of var_log, exec_stdout, exec_stderr, agent; with commas between')
    .option('--limit <N>', 'the newest so many of those that are there; default 1000', integer(1, 10_000))
    .action(async (id: string, flags: LogFlags, self: Command) => {
      const app = await App.of(self);
      const { tail, since, until, grep, source, limit } = flags;
      const query = { tail: String(tail), since, until, q: grep, source, limit: limit?.toString() };
      const stop = new AbortController();
      process.once('SIGINT', () => stop.abort());
      let ending =
        'the logs have ended: the sandbox was changed, or its worker restarted; ask again to go on';
      const hibernated = (): void => {
        ending = 'the sandbox has hibernated; its logs go on when it is awake again';
      };
      try {
        for await (const event of readLogs(app, id, query, stop.signal, hibernated))
          process.stdout.write(`${app.json ? JSON.stringify(event) : format(app, event)}\n`);
        if (tail) app.tell(ending);
      } catch (error) {
        if (!stop.signal.aborted) throw error;
      }
    });
  return withExamples(
    command,
    'oc logs sb-0a1b2c3d --no-tail',
    'oc logs sb-0a1b2c3d --no-tail --since 10m --source exec_stdout,exec_stderr --grep error',
  );
}

/** A time with milliseconds: people do not need more digits. */
function shortTime(time: string): string {
  return time.replace(/(\.\d{3})\d+/, '$1');
}

function format({ paint }: App, event: LogEvent): string {
  const { source, command, path, exit_code: exitCode } = event;
  const line = exitCode === undefined ? event.line : `${event.line}, exit code ${exitCode}`;
  const origin = command ?? path;
  const label = origin === undefined ? source : `${source} ${origin}`;
  const text = process.stdout.isTTY ? oneLine(line) : line;
  return `${paint('dim', shortTime(event._time))} ${paint(source === 'exec_stderr' ? 'yellow' : 'cyan', oneLine(label))} ${text}`;
}
