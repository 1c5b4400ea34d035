import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '../..');

/** An interpreter that finds this repository's Python client, and the environment that it needs. */
export async function python(): Promise<{ command: string; env: Record<string, string> }> {
  const lock = join(root, 'sdk-python/requirements-dev.lock');
  const { stdout } = await promisify(execFile)(join(root, 'scripts/python-environment.sh'), [lock]);
  return { command: stdout.trim(), env: { PYTHONPATH: join(root, 'sdk-python/src') } };
}

/** What samples of a page that are no programs begin with. */
const beginning = `import asyncio
import sys
from pathlib import Path

from opencomputer import *


async def main():
    async with await Sandbox.create() as sandbox:
`;

/** A sample as a program: one that imports nothing stands in a coroutine that has a sandbox. */
export function programOf(sample: string): string {
  if (/^from opencomputer/m.test(sample)) return sample;
  return `${beginning}${sample.replaceAll(/^(?=.)/gm, '        ')}\n\nasyncio.run(main())\n`;
}
