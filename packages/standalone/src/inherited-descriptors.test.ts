import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const modulePath = join(import.meta.dirname, 'inherited-descriptors.ts');

/** The open descriptors of a process of the platform when the launcher was started by a shell that left some open. */
async function foundBy(stdio: string): Promise<string[]> {
  const list = `for (const n of require('node:fs').readdirSync('/proc/self/fd')) { try { console.log(n, require('node:fs').readlinkSync('/proc/self/fd/' + n)); } catch {} }`;
  const launcher = `
    const { withoutInherited } = await import(${JSON.stringify(modulePath)});
    const { spawn } = await import('node:child_process');
    spawn(process.execPath, ['-e', ${JSON.stringify(list)}], { stdio: ${stdio} });`;
  const shell = spawn(
    'bash',
    [
      '-c',
      'exec 40</etc/hostname 63>/dev/full; exec "$0" "$@"',
      process.execPath,
      '--input-type=module',
      '-e',
      launcher,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let printed = '';
  shell.stdout.on('data', (part: Buffer) => (printed += part.toString()));
  await once(shell, 'close');
  return printed.split('\n').filter((line) => /^(40|63) /.test(line));
}

test('what a shell has left open is not there for the processes of the platform', async () => {
  const usual = `['ignore', 'inherit', 'inherit', 'ignore']`;
  // Node closes only the first sixteen, and those that follow without a gap; bash opens its pipes at 63.
  expect(await foundBy(usual)).toEqual(['40 /etc/hostname', '63 /dev/full']);
  expect(await foundBy(`[...${usual}, ...withoutInherited(4)]`)).toEqual(['40 /dev/null', '63 /dev/null']);
});
