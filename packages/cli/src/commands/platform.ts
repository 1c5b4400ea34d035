import { Command } from 'commander';
import { App } from '../app.ts';
import { readConfigFile, updateConfigFile } from '../config/file.ts';
import { readKeyFile, runPart } from '../platform/parts.ts';
import { withExamples } from '../examples.ts';
import { LocalError } from '../output/errors.ts';

/** What the platform prints when it is ready. */
interface UpAnswer {
  url: string;
  apiKeyFile: string;
}

function upCommand(): Command {
  const command = new Command('up')
    .summary('start the platform on this host')
    .description(
      'Starts the platform of this host in the background, unless it runs, and waits until it is ready. Its address and key are then kept for oc, unless you have set others.',
    )
    .action(async (_: object, self: Command) => {
      const app = await App.of(self);
      const { exitCode, output } = await app.during('starting the platform', () =>
        runPart('up', ['--json'], 'collect'),
      );
      if (exitCode !== 0)
        throw new LocalError('the platform did not start', {
          hint: '`oc doctor` says what this host lacks.',
        });
      const { url, apiKeyFile } = JSON.parse(output) as UpAnswer;
      const configured = await adopt(url, apiKeyFile);
      app.show({ url, configured }, () =>
        configured
          ? '`oc create` makes a sandbox'
          : `to use it: oc config set api-url ${url}; oc config set api-key < ${apiKeyFile}`,
      );
    });
  return withExamples(command, 'oc up');
}

/** Stores address and key, unless others were set. */
async function adopt(url: string, apiKeyFile: string): Promise<boolean> {
  const { api_url: knownUrl, api_key: knownKey } = await readConfigFile();
  const key = await readKeyFile(apiKeyFile);
  if (key === undefined) return false;
  if (knownUrl === url && knownKey === key) return true;
  const free = knownUrl === undefined || knownUrl === url;
  if (!free) return false;
  await updateConfigFile({ api_url: url, api_key: key });
  return true;
}

function downCommand(): Command {
  const command = new Command('down')
    .alias('stop')
    .summary('stop the platform on this host')
    .description('Stops the platform of this host. Sandboxes go on running and are found again by `oc up`.')
    .action(async (_: object, self: Command) => {
      const app = await App.of(self);
      const { exitCode, output } = await runPart('stop', [], 'collect');
      if (exitCode !== 0) throw new LocalError('the platform did not stop');
      app.show({ stopped: true }, () => output.trim());
    });
  return withExamples(command, 'oc down');
}

function doctorCommand(): Command {
  const command = new Command('doctor')
    .summary('say what this host can do, and how to fix what is missing')
    .description(
      'Says what this host can do, and how to fix what is missing. Ends with 1 when something needed is missing.',
    )
    .action(async (_: object, self: Command) => {
      const app = await App.of(self);
      const { exitCode } = await runPart('doctor', app.json ? ['--json'] : [], 'show');
      process.exitCode = exitCode;
    });
  return withExamples(command, 'oc doctor');
}

/** `oc up`, `oc down`, `oc doctor`. */
export function platformCommands(): Command[] {
  return [upCommand(), downCommand(), doctorCommand()];
}
