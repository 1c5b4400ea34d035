import { Argument, Command } from 'commander';
import { App } from '../app.ts';
import { configPath, updateConfigFile } from '../config/file.ts';
import { keyPrefix } from '../config/settings.ts';
import { withExamples } from '../examples.ts';
import { LocalError } from '../output/errors.ts';
import { formatTable } from '../output/table.ts';
import { readSecret } from '../terminal/secret.ts';

function setCommand(): Command {
  const command = new Command('set')
    .summary('keep a setting')
    .description(
      'Keeps a setting in ~/.oc/config.json, which only you can read. Without a value, or with -, the value is read from standard input, so that a key does not end up in the history of your shell.',
    )
    .addArgument(new Argument('<name>', 'api-key or api-url').choices(['api-key', 'api-url']))
    .argument('[value]', 'its value; - or none: from standard input')
    .action(async (name: 'api-key' | 'api-url', given: string | undefined, _: object, self: Command) => {
      const app = await App.of(self);
      const read = given === undefined || given === '-' ? await readSecret(`${name}: `) : given;
      const value = read.trim();
      checkValue(name, value);
      await updateConfigFile(name === 'api-key' ? { api_key: value } : { api_url: value });
      const shown = name === 'api-key' ? keyPrefix(value) : value;
      app.show({ name, value: shown }, () => `${name} is ${shown}`);
    });
  return withExamples(
    command,
    'oc config set api-url http://127.0.0.1:8080',
    'cat key.txt | oc config set api-key',
  );
}

function checkValue(name: 'api-key' | 'api-url', value: string): void {
  if (value === '') throw new LocalError(`the ${name} is empty`, { hint: 'Give a value.' });
  if (name === 'api-key' && !/^[\u0021-\u007e]+$/.test(value))
    throw new LocalError('an API key is one word of letters, digits and punctuation', {
      hint: 'Keys begin with osb_.',
    });
  if (name === 'api-url' && !/^https?:$/.test(URL.canParse(value) ? new URL(value).protocol : ''))
    throw new LocalError(`${JSON.stringify(value)} is not an address`, {
      hint: 'Give one such as http://127.0.0.1:8080.',
    });
}

function showCommand(): Command {
  const command = new Command('show')
    .summary('show the settings and where they come from')
    .description(
      'Shows the settings in use and where each comes from. Flags win over the environment, that over the file, that over the default. Of the key only the beginning is shown.',
    )
    .action(async (_: object, self: Command) => {
      const app = await App.of(self);
      const { apiUrl, apiKey } = app.settings;
      const shown = { ...apiKey, value: keyPrefix(apiKey.value) };
      app.show({ file: configPath(), apiUrl, apiKey: shown }, () =>
        formatTable(
          ['SETTING', 'VALUE', 'FROM'],
          [
            ['api-url', apiUrl.value, sourceText(apiUrl.source)],
            ['api-key', shown.value === '' ? '(none)' : shown.value, sourceText(apiKey.source)],
          ],
          app.paint,
        ),
      );
    });
  return withExamples(command, 'oc config show');
}

function sourceText(source: string): string {
  return source === 'file' ? configPath() : source;
}

/** `oc config`. */
export function configCommand(): Command {
  const command = new Command('config')
    .summary('which platform to use, with which key')
    .description('Settings: which platform to use, with which key.')
    .addCommand(setCommand())
    .addCommand(showCommand());
  return withExamples(command, 'oc config show');
}
