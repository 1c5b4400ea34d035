import { beforeAll, describe, expect, test } from 'vitest';
import { expectError } from '../support/api.ts';
import { authorityEnvs, trustLikeHost } from '../support/authorities.ts';
import { LiveClient } from '../support/live-client.ts';
import { fileSandbox } from '../support/shared.ts';

const tools = 'rg lsof nc uv uvx corepack npx';
const options = '--silent --no-audit --no-fund';

describe('the guest', () => {
  const sandbox = fileSandbox({});

  test('has the tools, libraries and locale that builds and scripts ask for', async () => {
    const run = (line: string) => sandbox().output(line);
    expect(await run(`for t in ${tools}; do command -v $t >/dev/null || echo $t; done`)).toBe('');
    expect(await run('pkg-config --exists libssl libffi; echo $?')).toBe('0');
    expect(await run('LC_ALL=en_US.UTF-8 locale charmap')).toBe('UTF-8');
    expect(await run('locale -a | grep -c en_US')).toBe('1');
  });

  test('has a Node.js with long-term support, and its headers', async () => {
    const told = await sandbox().output('node -p "process.release.lts + process.versions.node"');
    expect(told).toMatch(/^[A-Z][a-z]+\d+\.\d+\.\d+$/);
    const header = await sandbox().output(
      "sed -n 's/^#define NODE_M[AI][JN]OR_VERSION //p' /usr/local/include/node/node_version.h",
    );
    expect(told).toContain(header.split('\n').join('.'));
  });

  test('finds what users install, however a command comes to run', async () => {
    await sandbox().output(
      'printf "#!/bin/sh\\necho mine\\n" > ~/.local/bin/my-tool && chmod +x ~/.local/bin/my-tool',
    );
    const direct = await sandbox().exec('my-tool');
    expect(direct.body).toMatchObject({ exitCode: 0, stdout: 'mine\n' });
    for (const line of ['my-tool', 'bash -lc my-tool', 'sh -lc my-tool', 'sudo -iu sandbox my-tool'])
      expect(await sandbox().output(line), line).toBe('mine');
    const { client } = await LiveClient.start(sandbox(), 'my-tool');
    await client.end();
    expect(client.output().toString()).toBe('mine\n');
    const opened = await sandbox().call('POST', '/pty', { json: {} });
    const terminal = await LiveClient.attach(sandbox(), `pty/${String(opened.body['sessionID'])}`);
    terminal.sendRaw('my-tool; exit\n');
    await terminal.end();
    expect(terminal.screen).toContain('mine');
    expect(terminal.screen).not.toContain('not found');
  });

  test('keeps the path of a working directory as it was asked for', async () => {
    for (const shell of ['sh', 'bash']) {
      const answer = await sandbox().exec(shell, ['-c', 'pwd; echo $PWD; pwd -P'], { cwd: '/workspace' });
      expect(answer.body['stdout']).toBe('/workspace\n/workspace\n/home/sandbox\n');
    }
  });

  test('takes as many arguments as Linux does, and says which is too long', async () => {
    const argument = 'x'.repeat(128 * 1024 - 1);
    const args = ['-c', 'printf %s "$*" | wc -c', 'sh', ...(Array(15).fill(argument) as string[])];
    const answer = await sandbox().exec('sh', args);
    expect(answer.body).toMatchObject({ exitCode: 0, stdout: `${15 * argument.length + 14}\n` });
    const many = await sandbox().exec('sh', ['-c', 'echo $#', ...(Array(100_001).fill('x') as string[])]);
    expect(many.body).toMatchObject({ exitCode: 0, stdout: '100000\n' });
    const tooLong = await sandbox().exec('echo', [`${argument}x`]);
    expectError(tooLong, 400, 'invalid_request', /args\.0.*131071 bytes/);
    expectError(await sandbox().exec('echo', [...args, argument]), 400, 'invalid_request', /together/);
  });
});

describe('software of registries', () => {
  const sandbox = fileSandbox({ envs: authorityEnvs });
  beforeAll(() => trustLikeHost(sandbox()));

  test('that pip brings is found by the next command', async () => {
    await sandbox().output('pip install -q cowsay', { timeout: 170 });
    expect((await sandbox().exec('cowsay', ['-t', 'found'])).body['stdout']).toContain('found');
  });

  test('that npm installs with -g is of the user, also a native module without a download of headers', async () => {
    // No server answers where node-gyp would fetch them from.
    await sandbox().output('echo 127.0.0.1 nodejs.org | sudo tee -a /etc/hosts');
    await sandbox().output(`npm install -g ${options} --build-from-source semver bufferutil`, {
      timeout: 600,
    });
    expect((await sandbox().exec('semver', ['1.2.3'])).body['stdout']).toBe('1.2.3\n');
    const modules = '/home/sandbox/.local/lib/node_modules';
    expect(await sandbox().output('readlink -f $(command -v semver)')).toContain(`${modules}/semver/`);
    const line =
      `rm -rf ${modules}/bufferutil/prebuilds && ` +
      `node -p 'require("${modules}/bufferutil").mask.toString().includes("[native code]")'`;
    expect(await sandbox().output(line)).toBe('true');
  }, 700_000);

  test('that root installs with -g is for everybody', async () => {
    await sandbox().output(`sudo npm install -g ${options} is-ci`, { timeout: 170 });
    expect(await sandbox().output('command -v is-ci')).toBe('/usr/local/bin/is-ci');
  });
});
