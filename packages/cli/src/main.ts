import { CommanderError } from 'commander';
import { readConfigFile } from './config/file.ts';
import { defaultApiUrl, resolveSettings } from './config/settings.ts';
import { endByBrokenPipe } from './output/broken-pipe.ts';
import { paintFor } from './output/colors.ts';
import { exitCodes, reportOf } from './output/errors.ts';
import { printable } from './output/table.ts';
import { buildProgram } from './program.ts';
import type { GlobalFlags } from './app.ts';
import type { Report } from './output/errors.ts';

async function main(argv: readonly string[]): Promise<number> {
  const end = argv.indexOf('--');
  const json = (end < 0 ? argv : argv.slice(0, end)).includes('--json');
  const program = buildProgram(json);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return Number(process.exitCode ?? exitCodes.ok);
  } catch (error) {
    if (error instanceof CommanderError) {
      if (json && error.exitCode !== 0)
        printJson({ error: error.message.replace(/^error: /, ''), code: 'usage' });
      return error.exitCode === 0 ? exitCodes.ok : exitCodes.local;
    }
    const flags = program.opts<GlobalFlags>();
    const report = reportOf(error, await apiUrl(flags));
    if (json) printJson({ error: report.message, code: report.code, ...extra(report) });
    else print(report, flags.color);
    return report.exitCode;
  }
}

function print({ message, hint, code, requestId }: Report, color: boolean): void {
  const paint = paintFor({ isTerminal: process.stderr.isTTY, wanted: color, env: process.env });
  // A stack is our own text, and has several lines; text from elsewhere must not reach the terminal unchecked.
  const lines = [
    `${paint('red', 'oc:')} ${code === 'bug' ? message.split('\n').map(printable).join('\n') : printable(message)}`,
  ];
  if (hint !== '') lines.push(`    ${printable(hint)}`);
  if (requestId !== undefined) lines.push(paint('dim', `    request ${printable(requestId)}`));
  process.stderr.write(`${lines.join('\n')}\n`);
}

function printJson(value: object): void {
  process.stderr.write(`${JSON.stringify(value)}\n`);
}

function extra({ hint, requestId }: Report): object {
  return { ...(hint === '' ? {} : { hint }), ...(requestId === undefined ? {} : { requestId }) };
}

async function apiUrl(flags: GlobalFlags): Promise<string> {
  try {
    return resolveSettings(flags, process.env, await readConfigFile()).apiUrl.value;
  } catch {
    // The error is about this file.
    return defaultApiUrl;
  }
}

endByBrokenPipe();
const exitCode = await main(process.argv.slice(2));
// The last output may not be written to the pipe yet.
await Promise.all(
  [process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))),
);
process.exit(exitCode);
