import { Command, Option } from 'commander';
import { App } from '../app.ts';
import { download, downloadStream } from '../copy/download.ts';
import { absolute, parseLocation } from '../copy/location.ts';
import { Tally } from '../copy/tally.ts';
import { upload, uploadStream } from '../copy/upload.ts';
import { withExamples } from '../examples.ts';
import { LocalError } from '../output/errors.ts';
import { Progress } from '../output/progress.ts';
import type { Location } from '../copy/location.ts';

async function copy(paths: string[], _: object, self: Command): Promise<void> {
  const app = await App.of(self);
  const locations = paths.map(parseLocation);
  const target = locations.pop();
  const [first] = locations;
  if (target === undefined || first === undefined)
    throw new LocalError('a copy needs a source and a target', {
      hint: 'oc cp notes.txt ID:',
      code: 'usage',
    });
  const tally = new Tally();
  const progress = new Progress(process.stderr, () => `copying: ${tally.text}`);
  try {
    await between(app, locations, first, target, tally);
  } finally {
    progress.end();
  }
  for (const path of tally.skipped) app.tell(`skipped ${path}: neither file, folder nor link`);
  if (target.kind === 'stream') return;
  const { files, size, skipped } = tally;
  app.show({ files, bytes: size, skipped }, () => (process.stdout.isTTY ? `copied ${tally.text}` : ''));
}

async function between(
  app: App,
  sources: readonly Location[],
  first: Location,
  target: Location,
  tally: Tally,
): Promise<void> {
  if (target.kind === 'remote') {
    const sandbox = await app.connect(target.sandboxId);
    if (first.kind === 'stream' && sources.length === 1)
      return uploadStream(sandbox, process.stdin, absolute(target.path), tally);
    const local = sources.flatMap((each) => (each.kind === 'local' ? [each.path] : []));
    if (local.length < sources.length) throw impossible();
    return upload(sandbox, local, target.path, tally);
  }
  for (const source of sources) {
    if (source.kind !== 'remote') throw impossible();
    const sandbox = await app.connect(source.sandboxId);
    if (target.kind === 'stream') await downloadStream(sandbox, source.path);
    else await download(sandbox, source.path, target.path, tally);
  }
}

function impossible(): LocalError {
  return new LocalError('a copy goes from here to a sandbox, or from sandboxes to here', {
    hint: 'Paths in a sandbox are written ID:PATH, such as sb-0a1b2c3d:/etc/hosts.',
    code: 'usage',
  });
}

/** `oc cp`. */
export function copyCommand(): Command {
  const command = new Command('cp')
    .summary('copy files and folders to and from sandboxes')
    .description(
      'Copies files, and folders with all in them, to and from sandboxes. Permissions are kept. Paths in a sandbox are written ID:PATH; relative ones begin at /home/sandbox. - is standard input or output.',
    )
    .usage('[options] <source...> <target>')
    .argument('<paths...>', 'sources, and then the target')
    .addOption(new Option('-r, --recursive', 'folders are always copied with all in them').hideHelp())
    .action(copy);
  return withExamples(
    command,
    'oc cp README.md sb-0a1b2c3d:',
    'oc cp sb-0a1b2c3d:/etc/hostname /tmp/',
    'oc cp docs sb-0a1b2c3d:/app/',
    'echo hello | oc cp - sb-0a1b2c3d:hello.txt && oc cp sb-0a1b2c3d:hello.txt -',
  );
}
