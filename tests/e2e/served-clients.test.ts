import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { outcomeOf } from '../support/oc.ts';

const javaScript = `
import { Sandbox } from "@opencomputer/sdk";
const sandbox = await Sandbox.create();
console.log((await sandbox.exec.run("echo from JavaScript")).stdout.trim());
await sandbox.kill();
`;
const python = `
from opencomputer.sync import Sandbox
with Sandbox.create() as sandbox:
    print(sandbox.exec.run("echo from Python").stdout.strip())
`;

describe('the clients that the server hands out', () => {
  const { url, key } = inject('platform');
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'oc-served-'));
  });
  afterAll(() => rm(directory, { recursive: true }));

  /** Runs a line as a user would, where nothing of this checkout is found. @returns what it printed */
  async function shell(line: string): Promise<string> {
    const env = {
      PATH: (process.env['PATH'] ?? '')
        .split(':')
        .filter((entry) => !entry.includes('node_modules'))
        .join(':'),
      HOME: directory,
      OPENCOMPUTER_API_URL: url,
      OPENCOMPUTER_API_KEY: key,
    };
    const child = spawn('bash', ['--norc', '-euo', 'pipefail', '-c', line], { cwd: directory, env });
    const { exitCode, stdout, stderr } = await outcomeOf(child);
    expect(exitCode, stdout.toString() + stderr).toBe(0);
    return stdout.toString();
  }

  /** A command of the page that says how to install them. */
  async function printed(start: string): Promise<string> {
    const page = await shell('curl -fsS $OPENCOMPUTER_API_URL/sdk');
    return new RegExp(`^ *(${start} \\S+)$`, 'm').exec(page)?.[1] ?? `echo the page has no ${start}; false`;
  }

  test.each([
    () => printed('npm install'),
    () => 'npm install $OPENCOMPUTER_API_URL/sdk/opencomputer-sdk.tgz',
  ])('npm installs one into an empty folder, and it makes a sandbox (%#)', async (command) => {
    await writeFile(join(directory, 'hello.mjs'), javaScript);
    await shell(`rm -rf node_modules package*.json; ${await command()} --no-audit --no-fund`);
    // A Node of the host: the package supports 20 and newer.
    expect(await shell('node hello.mjs')).toBe('from JavaScript\n');
  });

  test.each([
    () => printed('npm install -g'),
    () => 'npm install -g $OPENCOMPUTER_API_URL/sdk/opencomputer-cli.tgz',
  ])('npm installs oc without any registry, and it makes a sandbox (%#)', async (command) => {
    // As a user without rights to the folders of the system.
    await shell(
      `rm -rf global; ${await command()} --prefix global --registry http://127.0.0.1:9 --no-audit --no-fund`,
    );
    expect(await shell('global/bin/oc --version')).toMatch(/^\d+\.\d+\.\d+\n$/);
    const made = await shell('global/bin/oc create --json');
    const { sandboxID } = JSON.parse(made) as { sandboxID: string };
    expect(await shell(`global/bin/oc exec ${sandboxID} -- echo from oc`)).toBe('from oc\n');
    await shell(`global/bin/oc kill ${sandboxID}`);
  });

  test.each([() => printed('pip install'), () => 'pip install -r $OPENCOMPUTER_API_URL/sdk/python.txt'])(
    'pip installs the other into an empty environment, and it makes a sandbox (%#)',
    async (command) => {
      await writeFile(join(directory, 'hello.py'), python);
      const activate = 'rm -rf env; python3 -m venv env; . env/bin/activate';
      await shell(`${activate}; ${await command()} --quiet --disable-pip-version-check`);
      expect(await shell('env/bin/python hello.py')).toBe('from Python\n');
    },
  );
});
