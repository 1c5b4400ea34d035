import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { openSync, closeSync } from 'node:fs';
import { chmod, chown, mkdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { attemptsInPython } from '../testing/attempts.ts';
import { jailableDirectory, testJailer } from '../testing/jailer.ts';
import { failureOf, until } from '../testing/scratch.ts';
import { type Jail, jailed } from './jail.ts';
import { processIdentity } from './processes.ts';

const execute = promisify(execFile);
const root = process.getuid?.() === 0;
const uid = 345_678;
let jailer: string;

beforeAll(async () => {
  jailer = await testJailer();
}, 120_000);

test('the options that it is started with', () => {
  const command = ['/usr/bin/qemu', '-name', 'x; rm -rf /'];
  expect(jailed(command, { jailer: '/j', uid: undefined, internet: true, kvmDevice: '/dev/kvm' })).toEqual([
    ...['/j', '-internet', '--'],
    ...command,
  ]);
  const tap = { name: 'tap0', descriptor: 6 };
  const jail = {
    jailer: '/j',
    uid,
    networkPath: '/run/netns/oc-1',
    tap,
    kvmDevice: '/dev/kvm',
    internet: false,
  };
  expect(
    jailed(
      command,
      { ...jail, fileBytes: 4096, dieWithParent: true },
      { kept: [3], sockets: { a: 4, b: 5 } },
    ),
  ).toEqual([
    ...['/j', `-uid=${uid}`, '-network=/run/netns/oc-1', '-tap=tap0', '-tap-descriptor=6', '-kvm=/dev/kvm'],
    ...['-descriptors=3', '-listen=a:4,b:5', '-file-bytes=4096', '-die-with-parent', '--'],
    ...command,
  ]);
});

/** Runs a line of shell, or Python, in a jail, in a directory that it owns. */
async function inside(line: string, options: Partial<Jail> & { program?: string } = {}): Promise<string> {
  const { program = '/bin/sh', ...more } = options;
  const cwd = await jailableDirectory();
  await chmod(cwd, 0o711);
  const own = join(cwd, 'own');
  await writeFile(own, '');
  if (root) await chown(own, uid, uid);
  const jail = { jailer, uid: root ? uid : undefined, internet: false, ...more };
  const [first = '', ...rest] = jailed([program, '-c', line], jail);
  const { stdout, stderr } = await execute(first, rest, { cwd });
  return stdout + stderr;
}

/** Which of these lines of Python succeed. */
async function allowed(lines: readonly string[], options: Partial<Jail> = {}): Promise<string[]> {
  const script = attemptsInPython(
    lines,
    ['EPERM', 'EACCES', 'ENOENT', 'EROFS', 'ENOSYS'],
    [
      'import ctypes, sys',
      'libc = ctypes.CDLL(None, use_errno=True)',
      'def call(*arguments):',
      '    if libc.syscall(*arguments) < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))',
    ],
  );
  return JSON.parse(await inside(script, { program: '/usr/bin/python3', ...options })) as string[];
}

describe('everywhere', () => {
  test('the kernel is reached by few calls only, and other processes by none', async () => {
    const far = [
      'socket.socket(40, socket.SOCK_STREAM)', // AF_VSOCK
      'socket.socket(16, socket.SOCK_RAW, 0)', // AF_NETLINK
      'socket.socket(socket.AF_PACKET, socket.SOCK_RAW)',
      'socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)',
      'call(425, 8, ctypes.create_string_buffer(120))', // io_uring_setup
      'call(323, 0)', // userfaultfd
      'call(250, 0, -3, 1)', // keyctl
      'call(101, 0, 0, 0, 0)', // ptrace
      'call(310, os.getppid(), 0, 0, 0, 0, 0)', // process_vm_readv
      'call(321, 0, 0, 0)', // bpf
      'call(272, 0x10000000)', // unshare
      'call(56, 0x10000000 | 17, 0, 0, 0, 0)', // clone of a user namespace
      'call(435, 0, 0)', // clone3
      'os.symlink("a", "b")',
      'os.link("own", "b")',
      'os.mkfifo("b")',
    ];
    expect(await allowed(far)).toEqual([]);
    const near = [
      'os.getpid()',
      'open("own", "w").write("x")',
      'import threading; t = threading.Thread(); t.start(); t.join()',
    ];
    expect(await allowed(near)).toEqual(near);
  });

  test('sockets of the internet are for user networking only', async () => {
    const sockets = [
      'socket.socket(socket.AF_INET)',
      'socket.socket(socket.AF_INET6)',
      'socket.socket(socket.AF_UNIX)',
    ];
    expect(await allowed([...sockets, 'socket.socketpair()'])).toEqual([]);
    expect(await allowed([...sockets, 'socket.socket(40)'], { internet: true })).toEqual(sockets);
  });

  test('no dump is written, and files and descriptors have limits', async () => {
    const printed = await inside('ulimit -c; ulimit -n; ulimit -f', { fileBytes: 1024 * 1024 });
    expect(printed.trim().split('\n')).toEqual(['0', '4096', '2048']);
    const error = await failureOf(inside('head -c 5000 /dev/zero > own', { fileBytes: 4096 }));
    expect(error.message).toContain('Command failed');
  });

  test('descriptors that it is not to have are closed, such as one that a shell left open', async () => {
    const cwd = await jailableDirectory();
    const secret = openSync(join(cwd, 'secret'), 'w');
    onTestFinished(() => closeSync(secret));
    const [first = '', ...rest] = jailed(
      ['/bin/sh', '-c', 'ls /proc/self/fd'],
      { jailer, uid: undefined, internet: false },
      { kept: [4] },
    );
    const child = spawn(first, rest, { cwd, stdio: ['ignore', 'pipe', 'inherit', secret, secret, secret] });
    let printed = '';
    child.stdout?.on('data', (part: Buffer) => (printed += part.toString()));
    await once(child, 'close');
    // While the directory is listed it is open itself, at the first free number.
    expect(printed.trim().split('\n')).toEqual(['0', '1', '2', '3', '4']);
    expect(printed).not.toContain('5');
  });

  test('it finds sockets that listen, in place of what had their names, and only our user may connect', async () => {
    const cwd = await jailableDirectory();
    await writeFile(join(cwd, 'a.sock'), 'of before', { mode: 0o666 });
    const script = `
import socket
for number in (4, 5):
    listener = socket.socket(fileno=number)
    listener.setblocking(True)
    connection, _ = listener.accept()
    connection.sendall(listener.getsockname().encode())
    connection.close()`;
    const jail = { jailer, uid: root ? uid : undefined, internet: false };
    const sockets = { 'a.sock': 4, 'b.sock': 5 };
    const [first = '', ...rest] = jailed(['/usr/bin/python3', '-c', script], jail, { sockets });
    const child = spawn(first, rest, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
    const ended = once(child, 'close');
    for (const name of Object.keys(sockets)) {
      const path = join(cwd, name);
      await until(async () => (await stat(path)).isSocket());
      const { mode, uid: owner } = await stat(path);
      expect([mode & 0o777, owner]).toEqual([0o600, process.getuid?.()]);
      expect(await text(createConnection(path))).toBe(name);
    }
    expect(await ended).toEqual([0, null]);
  });

  test('wrong options, a missing program and what is not allowed end with status 125 and say why', async () => {
    for (const [args, why] of [
      [['-uid=x', '--', '/bin/true'], 'invalid value "x"'],
      [['--'], 'the path of a program is needed'],
      [['--', 'true'], 'from the root on'],
      [['-kvm=/dev/kvm', '--', '/bin/true'], 'need -uid'],
      [['-descriptors=3,x', '--', '/bin/true'], '"x" is no descriptor'],
      [['-listen=a.sock', '--', '/bin/true'], '"a.sock" is no socket: PATH:DESCRIPTOR is needed'],
      [['-listen=missing/a.sock:4', '--', '/bin/true'], 'cannot make the socket missing/a.sock'],
      [['--', '/missing'], 'cannot start /missing: no such file'],
    ] as const) {
      const error = (await failureOf(execute(jailer, args))) as Error & { code?: number; stderr?: string };
      expect(error.code).toBe(125);
      expect(error.stderr).toContain(why);
    }
  });

  test('it ends with the process that started it, where that is asked for', async () => {
    const [first = '', ...rest] = jailed(['/bin/sleep', '60'], {
      jailer,
      uid: root ? uid : undefined,
      internet: false,
      dieWithParent: true,
    });
    const script = `const child = require('node:child_process').spawn(${JSON.stringify(first)}, ${JSON.stringify(rest)}, { detached: true, stdio: 'ignore' }); console.log(child.pid); setInterval(() => {}, 1000)`;
    const parent = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    parent.stdout.on('data', (part: Buffer) => (printed += part.toString()));
    await until(() => printed.includes('\n'));
    const pid = Number(printed);
    // Because it is applied after the change of user.
    await until(async () => (await readlink(`/proc/${pid}/exe`)).endsWith('sleep'));
    parent.kill('SIGKILL');
    await until(() => processIdentity(pid) === undefined);
  });
});

describe.skipIf(!root)('as root', () => {
  test('it is another user with no groups, capabilities or way to gain any', async () => {
    const status = Object.fromEntries(
      (await inside('cat /proc/self/status'))
        .split('\n')
        .map((line) => line.split(/:\s*/, 2) as [string, string]),
    );
    expect(status['Uid']).toBe(`${uid}\t${uid}\t${uid}\t${uid}`);
    expect(status['Gid']).toBe(`${uid}\t${uid}\t${uid}\t${uid}`);
    expect(status['Groups']?.trim()).toBe('');
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect([set, Number(`0x${status[set]}`)]).toEqual([set, 0]);
    expect([status['NoNewPrivs'], status['Seccomp']]).toEqual(['1', '2']);
  });

  test('it sees no device, no process and no temporary file of the host, and can write nothing but its own', async () => {
    const lines = [
      'open("/dev/fuse", "r+b")',
      'open("/dev/net/tun", "r+b")',
      'open("/dev/kvm", "r+b")',
      'open("/dev/vda", "rb")',
      'open("/tmp/x", "w")',
      'open("/var/tmp/x", "w")',
      'open("/dev/shm/x", "w")',
      'open("/dev/x", "w")',
      'open("/run/lock/x", "w")',
      'open("x", "w")',
      'open("/proc/1/cmdline")',
      'open("/proc/%d/cmdline" % os.getppid())',
      'open("/proc/sys/kernel/random/boot_id")',
    ];
    expect(await allowed(lines)).toEqual([]);
    const mine = [
      'open("own", "w").write("x")',
      'open("/dev/urandom", "rb").read(1)',
      'open("/dev/null", "w").write("x")',
    ];
    expect(await allowed(mine)).toEqual(mine);
    expect((await inside('ls /tmp /var/tmp /run; ls /dev')).trim().split('\n')).toEqual(
      expect.arrayContaining(['null', 'random', 'urandom', 'zero']),
    );
  });

  test('where user networking finds the name servers of the host remains, also where that is a link into /run', async () => {
    const cwd = await jailableDirectory();
    const read = 'cat /etc/resolv.conf; ls /run /run/resolve; touch /run/x /run/resolve/x || true';
    const command = (internet: boolean): string =>
      jailed(['/bin/sh', '-c', read], { jailer, uid, internet })
        .map((word) => `'${word}'`)
        .join(' ');
    const script = `
      mount -t tmpfs none /run
      mkdir -m 755 /run/resolve /run/secret /run/etc
      echo 'nameserver 192.0.2.7' > /run/resolve/resolv.conf
      ln -s ../run/resolve/resolv.conf /run/etc/resolv.conf
      mount --bind /run/etc /etc`;
    const there = async (internet: boolean): Promise<string> => {
      const host = [
        '--mount',
        '--propagation=private',
        'sh',
        '-c',
        `set -e; ${script}; ${command(internet)} 2>&1`,
      ];
      return (await execute('unshare', host, { cwd })).stdout;
    };
    expect((await there(true)).split('\n').slice(0, 6)).toEqual([
      'nameserver 192.0.2.7',
      ...['/run:', 'resolve', '', '/run/resolve:', 'resolv.conf'],
    ]);
    expect(await there(true)).toMatch(
      /'\/run\/x': Read-only[^]*'\/run\/resolve\/x': (?:Read-only|Permission)/,
    );
    expect(await there(false)).not.toContain('nameserver');
  });

  test('without the right to make mounts it starts emulators with user networking, and nothing else', async () => {
    const within = async (jail: Partial<Jail>): Promise<string> => {
      const command = jailed(['/usr/bin/id', '-u'], { jailer, uid, internet: true, ...jail });
      const { stdout } = await execute('setpriv', ['--bounding-set=-sys_admin', '--', ...command]);
      return stdout.trim();
    };
    expect(await within({})).toBe(String(uid));
    const refused = "cannot leave the host's mounts: operation not permitted";
    expect(await failureOf(within({ kvmDevice: '/dev/null' }))).toMatchObject({
      stderr: expect.stringContaining(refused),
    });
  });

  test('it finds its tap device at the descriptor that is named, whichever are free', async () => {
    const namespace = `oc-test-jail-${process.pid}`;
    await execute('ip', ['netns', 'add', namespace]);
    onTestFinished(async () => void (await execute('ip', ['netns', 'del', namespace])));
    await execute('ip', ['-n', namespace, 'tuntap', 'add', 'tap0', 'mode', 'tap', 'user', String(uid)]);
    for (let descriptor = 3; descriptor < 12; descriptor++) {
      const tap = { name: 'tap0', descriptor };
      const line = `readlink /proc/self/fd/${descriptor}`;
      const link = await inside(line, { networkPath: `/run/netns/${namespace}`, tap });
      expect([descriptor, link.trim()]).toEqual([descriptor, '/dev/net/tun']);
    }
  });

  test('nobody can write what is open to all on the host', async () => {
    const open = await jailableDirectory();
    await chmod(open, 0o777);
    expect(await allowed([`open("${open}/x", "w")`])).toEqual([]);
    // The host's own view has not changed.
    await writeFile(join(open, 'x'), '');
  });

  test.each([
    ['0660 root:kvm, as udev makes it', 0o660],
    ['0600 root', 0o600],
  ])('with a device of the host at %s it has a node of its own', async (_name, mode) => {
    const directory = await jailableDirectory();
    const device = join(directory, 'kvm');
    // The device numbers of /dev/zero, since not every host has KVM.
    await execute('mknod', [device, 'c', '1', '5']);
    await chmod(device, mode);
    await chown(device, 0, 109);
    expect(await allowed([`open("${device}", "r+b")`])).toEqual([]);
    const opened = ['open("/dev/kvm", "r+b").read(1)'];
    expect(await allowed(opened, { kvmDevice: device })).toEqual(opened);
    expect((await stat(device)).mode & 0o777).toBe(mode);
  });

  test('what is no device is refused as one', async () => {
    const error = (await failureOf(inside('true', { kvmDevice: '/etc/passwd' }))) as Error & {
      stderr?: string;
    };
    expect(error.stderr).toContain('/etc/passwd is no device');
  });

  test('the jailer itself is small and linked with nothing', async () => {
    const program = await readFile(jailer);
    expect(program.length).toBeLessThan(4 * 1024 * 1024);
    expect(createHash('sha256').update(program).digest('hex')).toMatch(/^[0-9a-f]{64}$/);
    expect((await execute('sh', ['-c', `ldd ${jailer} 2>&1 || true`])).stdout).toContain('not a dynamic');
    await mkdir(join(await jailableDirectory(), 'x'));
  });
});
