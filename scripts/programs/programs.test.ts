import { execFileSync } from 'node:child_process';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../test-runners/process.ts';
import { functionsOf, neededPackages, programsOfShell } from './shell.ts';
import { programsOfTypeScript } from './typescript.ts';

const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const setUp = ['scripts/setup.sh', 'test.sh'];
const scripts = ['oc', '.ci/run', ...globSync(['*.sh', 'scripts/*.sh'], { cwd: root }).toSorted()];

/** What a user brings along. */
const languages = ['node', 'npm', 'go', 'gofmt'];

/** What stands in the place of a program in files that get it from elsewhere. */
const named: Readonly<Record<string, readonly string[]>> = {
  // Functions that are given a program; their callers are looked at.
  'packages/images/command.ts': [],
  'packages/worker/src/host/programs.ts': [],
  'packages/worker/src/network/run.ts': [],
  'scripts/test-runners/process.ts': [],
  'tests/e2e/quickstart.test.ts': [],
  // Interpreters of environments that python-environment.sh makes, and of Node.js.
  'bench/measures/python.ts': [],
  'packages/sdk/src/package.test.ts': ['node', 'npm'],
  'scripts/test-runners/python.ts': [],
  'tests/conformance/clients/python/process.ts': [],
  'tests/e2e/docs-examples.test.ts': ['bash', 'curl', 'jq', 'node'],
  // QEMU and its image tool, which the configuration may name.
  'packages/worker/src/disk/overlay.test.ts': ['qemu-img'],
  'packages/worker/src/disk/overlay.ts': ['qemu-img'],
  'packages/worker/src/host/checksums.ts': ['qemu-img'],
  'packages/worker/src/host/jail.test.ts': ['sh', 'python3', 'sleep', 'true', 'ls'],
  'packages/worker/src/host/kernel-boot.ts': ['qemu-system-x86_64'],
  'packages/worker/src/host/qemu.ts': ['qemu-img', 'qemu-system-x86_64'],
  'packages/worker/src/qemu/process.ts': ['qemu-system-x86_64'],
  'packages/worker/src/machine/changes/testing/layered-machine.ts': ['qemu-img'],
  // Lists, and a choice at run time.
  'packages/images/rootfs-host.ts': ['mmdebstrap', 'mke2fs', 'dpkg-deb', 'npm'],
  'packages/worker/src/qemu/testing/counter.ts': ['as', 'ld', 'objcopy', 'qemu-system-x86_64'],
  'packages/worker/src/network/detect.ts': ['ip', 'nft', 'nsenter'],
  'packages/worker/src/network/firewall.ts': ['iptables-nft', 'iptables-legacy'],
  'packages/worker/src/network/testing/lab.ts': ['nsenter', 'setpriv', 'qemu-system-x86_64'],
  'tests/chaos/escaped-guest.test.ts': ['setpriv', 'sh'],
  'scripts/test-runners/private-network.ts': ['unshare', 'sh', 'mkdir', 'mount', 'ip', 'readlink'],
};

/** They run where they are there: a benchmark tells the commit that it measured. */
const optional = new Set(['git', 'sudo', 'apt-get']);

/** Programs of Debian packages: all that are essential, and those that set-up names. */
function installed(): Set<string> {
  const needed = setUp.flatMap((file) => neededPackages(read(file)));
  const query = (...args: string[]): string[] =>
    execFileSync('dpkg-query', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n');
  const essential = query('--show', '--showformat=${Essential} ${binary:Package}\n').flatMap((line) =>
    line.startsWith('yes ') ? [line.slice(4)] : [],
  );
  const present = new Set(query('--show', '--showformat=${Package} ${db:Status-Status}\n'));
  const packages = needed.map(([, name]) => name).filter((name) => present.has(`${name} installed`));
  const files = query('--listfiles', ...essential, ...packages);
  return new Set([
    ...needed.map(([program]) => program),
    ...files.flatMap((path) => /^(?:\/usr)?\/s?bin\/([^/]+)$/.exec(path)?.[1] ?? []),
    ...languages,
    ...readdirSync(join(root, 'node_modules/.bin')),
  ]);
}

/** Programs that Python and Go sources name as the first word of a command. */
function firstWords(text: string): string[] {
  const calls = text.matchAll(
    /(?:subprocess\.\w+|exec\.Command(?:Context)?)\(\s*(?:\w+,\s*)?\[?\s*"([\w.-]+)"/g,
  );
  return [...calls].map(([, program = '']) => program);
}

const sources = globSync(
  ['packages/*/src/**/*.ts', 'packages/images/**/*.ts', 'tests/**/*.ts', 'bench/**/*.ts', 'scripts/**/*.ts'],
  { cwd: root, exclude: ['**/node_modules/**', '**/.venv/**'] },
).toSorted();

describe('programs that scripts and tests start', () => {
  test('are installed by the set-up', () => {
    const have = installed();
    const functions = functionsOf(read('scripts/setup.sh'));
    const started: [file: string, program: string][] = [
      ...scripts.flatMap((file) =>
        [...programsOfShell(read(file), new Set([...functions, ...functionsOf(read(file))]))].map(
          (program): [string, string] => [file, program],
        ),
      ),
      ...sources.flatMap((file) =>
        [...programsOfTypeScript(file, read(file)).programs, ...(named[file] ?? [])].map(
          (program): [string, string] => [file, program],
        ),
      ),
      ...globSync(
        ['sdk-python/{tests,scripts}/**/*.py', 'agent/**/*_test.go', 'packages/images/**/*_test.go'],
        {
          cwd: root,
        },
      )
        .filter((file) => !file.includes('.venv'))
        .flatMap((file) => firstWords(read(file)).map((program): [string, string] => [file, program])),
    ];
    expect(started.length).toBeGreaterThan(100);
    const missing = started.filter(([, program]) => !have.has(program) && !optional.has(program));
    expect(missing, 'name the package in scripts/setup.sh or test.sh').toEqual([]);
  });

  test('are written where they are started, or named here', () => {
    const unknown = sources.filter((file) => programsOfTypeScript(file, read(file)).unknown.length > 0);
    expect(unknown, 'say in `named` what each of these files starts').toEqual(Object.keys(named).toSorted());
  });
});

describe('reading a source', () => {
  test('finds programs in calls, lists and constants', () => {
    const text = `
      import { spawn, execFile } from 'node:child_process';
      import { promisify } from 'node:util';
      const execute = promisify(execFile);
      const line = ['one', '-x'];
      const [into] = [other];
      spawn('two', []);
      execute(process.execPath, []);
      execute(yes ? 'three' : 'four');
      lab.spawn([...line, 'five']);
      other('six');
      spawn(given, []);`;
    expect(programsOfTypeScript('a.ts', text)).toEqual({
      programs: new Set(['two', 'node', 'three', 'four', 'one', 'five']),
      unknown: [12],
    });
  });

  test('finds commands of a shell script, also in substitutions', () => {
    const text = `say() { printf x; }
      say; if one; then exec two "$(three)"; fi
      x=$(four | five) need_packages six a seven b
      "$six" && local y && /eight/nine`;
    expect([...programsOfShell(text)].toSorted()).toEqual([
      'five',
      'four',
      'need_packages',
      'one',
      'three',
      'two',
    ]);
    expect(neededPackages(text)).toEqual([
      ['six', 'a'],
      ['seven', 'b'],
    ]);
    expect(() => neededPackages('need_packages one')).toThrow('pairs');
  });
});
