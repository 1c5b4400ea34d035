import { spawn } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { ShellBusyError, ShellClosedError, TimeoutError } from './errors.ts';
import { Exec } from './exec.ts';
import { HttpClient } from './http.ts';
import { sandboxPath, SessionServer } from './testing/session-server.ts';
import { TestSession } from './testing/test-session.ts';
import type { ChildProcess } from 'node:child_process';

/** A session with a real bash behind it. */
class BashSession extends TestSession implements Disposable {
  readonly #bash: ChildProcess;
  #written = 0;

  constructor() {
    super();
    this.#bash = spawn('bash', ['--noprofile', '--norc', '+m'], { cwd: '/tmp' });
    this.#bash.stdout?.on('data', (data: Buffer) => this.print(data, 1));
    this.#bash.stderr?.on('data', (data: Buffer) => this.print(data, 2));
    this.#bash.on('close', (code) => this.exit(code ?? 137));
  }

  /** Passes on input that has come. */
  override taken(): void {
    this.#bash.stdin?.write(this.stdin.subarray(this.#written));
    this.#written = this.stdin.length;
  }

  [Symbol.dispose](): void {
    this.#bash.kill('SIGKILL');
  }
}

function execOn(server: SessionServer): Exec {
  const http = new HttpClient({ apiUrl: `${server.url}/api`, apiKey: '', requestTimeoutMs: undefined });
  return new Exec(http, sandboxPath, server.api());
}

describe('on a real bash', () => {
  test('keeps directory, variables and functions; tells streams and exit codes apart', async () => {
    using session = new BashSession();
    await using server = await SessionServer.start({ session });
    const shell = await execOn(server).shell();
    expect(JSON.parse(String(server.seen[0]?.body))).toEqual({
      cmd: 'bash',
      args: ['--noprofile', '--norc', '+m'],
    });
    expect(await shell.run('cd / && NAME=x && f() { echo "f $1"; }')).toEqual({
      exitCode: 0,
      stdout: '',
      stderr: '',
      truncated: false,
    });
    expect(await shell.run('f $NAME; pwd; echo oops >&2; (exit 3)')).toMatchObject({
      exitCode: 3,
      stdout: 'f x\n/\n',
      stderr: 'oops\n',
    });
    expect(await shell.run('')).toMatchObject({ exitCode: 0, stdout: '', stderr: '' });
    expect(await shell.run('printf "no newline"; cat <<E\nhere\nE\n')).toMatchObject({
      stdout: 'no newlinehere\n',
    });
    expect((await shell.run('seq 1 20000')).stdout.split('\n')).toHaveLength(20_001);
    await shell.close();
    await shell.close();
    await expect(shell.run('true')).rejects.toBeInstanceOf(ShellClosedError);
  });

  test('streams output as it comes, byte by byte what it is', async () => {
    using session = new BashSession();
    await using server = await SessionServer.start({ session });
    const shell = await execOn(server).shell();
    const chunks: Buffer[] = [];
    const result = await shell.run("printf '\\377\\n__OC_\\n\\000'; echo; seq 1 3000", {
      onStdout: (data) => chunks.push(Buffer.from(data)),
    });
    const all = Buffer.concat(chunks);
    expect(all.subarray(0, 9)).toEqual(Buffer.from('\xff\n__OC_\n\0', 'latin1'));
    expect(all.length).toBeGreaterThan(13_000);
    expect(result.stdout.endsWith('\n3000\n')).toBe(true);
    await shell.close();
  });

  test('is busy while a command runs, and closed after exit', async () => {
    using session = new BashSession();
    await using server = await SessionServer.start({ session });
    const shell = await execOn(server).shell();
    const slow = shell.run('read -t 0.3 _ < <(sleep 5 2>&-); echo slow');
    await expect(shell.run('true')).rejects.toBeInstanceOf(ShellBusyError);
    expect((await slow).stdout).toBe('slow\n');
    const failure = shell.run('echo last; exit 4');
    await expect(failure).rejects.toBeInstanceOf(ShellClosedError);
    await expect(failure).rejects.toThrow(/bash exited with code 4/);
    await expect(shell.run('true')).rejects.toBeInstanceOf(ShellClosedError);
  });

  test('who stops waiting leaves it busy until the command ends', async () => {
    using session = new BashSession();
    await using server = await SessionServer.start({ session });
    const shell = await execOn(server).shell();
    await expect(shell.run('sleep 0.5', { timeoutMs: 50 })).rejects.toBeInstanceOf(TimeoutError);
    await expect(shell.run('true')).rejects.toBeInstanceOf(ShellBusyError);
    await expect
      .poll(() => shell.run('echo free').catch((error: unknown) => error), { timeout: 10_000 })
      .toMatchObject({ stdout: 'free\n' });
    const reason = new Error('enough');
    await expect(shell.run('true', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test('is found again by its id, without what it printed before', async () => {
    using session = new BashSession();
    await using server = await SessionServer.start({ session });
    const shell = await execOn(server).shell();
    await shell.run('cd /usr; echo old');
    const again = await execOn(server).reattachShell(shell.sessionId);
    let heard = '';
    const { stdout } = await again.run('pwd', { onStdout: (data) => (heard += Buffer.from(data)) });
    expect([stdout, heard]).toEqual(['/usr\n', '/usr\n']);
  });

  test('goes on in the middle of a command when the connection breaks', async () => {
    using session = new BashSession();
    await using server = await SessionServer.start({ session });
    const shell = await execOn(server).shell();
    const pending = shell.run('for n in 1 2 3 4 5 6; do echo $n; sleep 0.1; done; echo err >&2');
    await expect.poll(() => session.printed).toBeGreaterThan(2);
    session.cut();
    expect(await pending).toEqual({
      exitCode: 0,
      stdout: '1\n2\n3\n4\n5\n6\n',
      stderr: 'err\n',
      truncated: false,
    });
  });

  test('keeps the newest of very much output', async () => {
    using session = new BashSession();
    await using server = await SessionServer.start({ session });
    const shell = await execOn(server).shell();
    const result = await shell.run('head -c 10000000 /dev/zero | tr "\\0" x; echo END');
    expect(result.truncated).toBe(true);
    expect(result.stdout).toHaveLength(8 * 1024 * 1024);
    expect(result.stdout.endsWith('xEND\n')).toBe(true);
  });
});

describe('markers', () => {
  /** Answers the first command with these pieces, in which @ stands for its token. */
  async function answered(pieces: [stream: 1 | 2, text: string][]) {
    const server = await SessionServer.start();
    const shell = await execOn(server).shell();
    const pending = shell.run('x');
    // It may end before the test looks at it.
    pending.catch(() => undefined);
    await expect.poll(() => server.session.stdin.length).toBeGreaterThan(0);
    const token = /__OC_([0-9a-f]{32})_DONE__/.exec(String(server.session.stdin))?.[1] ?? '';
    // Each piece is a message of its own.
    for (const [stream, text] of pieces) server.session.print(text.replaceAll('@', token), stream);
    return { server, shell, pending, token };
  }

  test('may come in any pieces and in any order', async () => {
    const { server, pending } = await answered([
      [2, 'err\n__OC_@_EX'],
      [2, 'IT_1'],
      [2, '2_'],
      [1, 'out\n\n__OC_@_DO'],
      [2, '_'],
      [1, 'NE__\n'],
      [2, '\n'],
    ]);
    expect(await pending).toMatchObject({ exitCode: 12, stdout: 'out\n', stderr: 'err' });
    await server[Symbol.asyncDispose]();
  });

  test('of another token are output', async () => {
    const { server, pending } = await answered([
      [1, '\n__OC_0123_DONE__\n'],
      [1, '\n__OC_@_DONE__\n'],
      [2, '\n__OC_@_EXIT_0__\n'],
    ]);
    expect((await pending).stdout).toBe('\n__OC_0123_DONE__\n');
    await server[Symbol.asyncDispose]();
  });

  test.each(['x__\n', '12345678901234567890123456789012', '1__x'])(
    'with %j for a code close the shell',
    async (code) => {
      const { server, pending, shell } = await answered([
        [1, '\n__OC_@_DONE__\n'],
        [2, `\n__OC_@_EXIT_${code}`],
      ]);
      await expect(pending).rejects.toThrow(/corrupt sentinel/);
      await expect(shell.run('true')).rejects.toBeInstanceOf(ShellClosedError);
      await server[Symbol.asyncDispose]();
    },
  );

  test('the input is what other clients of the protocol send', async () => {
    const { server, pending, token } = await answered([]);
    expect(String(server.session.stdin)).toBe(
      `{ x\n} ; __oc_ec=$? ; printf '\\n__OC_${token}_DONE__\\n' ; printf '\\n__OC_${token}_EXIT_%s__\\n' "$__oc_ec" >&2\n`,
    );
    server.session.exit(1);
    await expect(pending).rejects.toThrow(/bash exited with code 1/);
    await server[Symbol.asyncDispose]();
  });
});
