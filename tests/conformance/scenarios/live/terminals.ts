import { expect } from 'vitest';
import { patience } from './recorder.ts';
import type { SandboxHandle } from '../../clients/client.ts';
import type { LiveTerminal } from '../../clients/live.ts';
import type { Scenario } from '../scenario.ts';

const onlyOurs = { published: 'it can only send and close' };

/** A terminal, what it has shown, and hands to type with. */
interface Screen {
  readonly terminal: LiveTerminal;
  readonly text: string;
  type(text: string): Promise<void>;
  shows(text: string | RegExp): Promise<void>;
}

function screen() {
  let text = '';
  const onOutput = (data: Uint8Array): void => {
    text += Buffer.from(data).toString('latin1');
  };
  const over = (terminal: LiveTerminal): Screen => ({
    terminal,
    get text() {
      return text;
    },
    async type(keys) {
      // The published client has no way to wait until it is connected.
      await expect
        .poll(async () => {
          try {
            await terminal.send(keys);
            return 'sent';
          } catch (error) {
            return String(error);
          }
        }, patience)
        .toBe('sent');
    },
    async shows(expected) {
      await expect.poll(() => text, patience).toMatch(expected);
    },
  });
  return { onOutput, over };
}

async function openTerminal(
  sandbox: SandboxHandle,
  size: { cols?: number; rows?: number } = {},
): Promise<Screen> {
  const { onOutput, over } = screen();
  return over(await sandbox.pty.create({ ...size, onOutput }));
}

export const terminalScenarios: Scenario[] = [
  {
    name: 'a terminal shows what is typed, and what comes of it',
    async run({ sandbox }) {
      const screen = await openTerminal(sandbox, { cols: 100, rows: 30 });
      await screen.type('echo $((6 * 7))\r');
      await screen.shows(/echo \$\(\(6 \* 7\)\)\r\n(.*\r)?42\r\n/s);
      await screen.type('stty size; echo $TERM-$FROM_SANDBOX; tty; id -un; pwd\r');
      await screen.shows('30 100\r\n');
      await screen.shows('xterm-256color-sandbox\r\n');
      await screen.shows(/\/dev\/pts\/\d+\r\nsandbox\r\n\/home\/sandbox\r\n/);
      await screen.type('exit\r');
      screen.terminal.close();
    },
  },
  {
    name: 'Ctrl-C interrupts the program, not the shell',
    async run({ sandbox }) {
      const screen = await openTerminal(sandbox);
      // The program says itself that it runs: Bash waits on if Ctrl-C falls on its fork of it.
      await screen.type("sh -c 'echo begin$((1 + 1)); exec sleep 1000'\r");
      await screen.shows('begin2\r\n');
      await screen.type('\x03');
      await screen.type('echo alive$((1 + 1)) $?\r');
      await screen.shows('alive2 130\r\n');
      screen.terminal.close();
    },
  },
  {
    name: 'two terminals keep to themselves',
    async run({ sandbox }) {
      const [left, right] = await Promise.all([openTerminal(sandbox), openTerminal(sandbox)]);
      await Promise.all([left.type('X=left; cd /tmp\r'), right.type('X=right; cd /usr\r')]);
      await Promise.all([left.type('echo "<$X $PWD>"\r'), right.type('echo "<$X $PWD>"\r')]);
      await left.shows('<left /tmp>\r\n');
      await right.shows('<right /usr>\r\n');
      expect(left.text).not.toContain('<right');
      expect(right.text).not.toContain('<left');
      left.terminal.close();
      await right.type('echo still$((1 + 1))\r');
      await right.shows('still2\r\n');
      right.terminal.close();
    },
  },
  {
    name: 'vi edits a file',
    async run({ client, sandbox }) {
      const file = `/tmp/edited-${client.name}`;
      const screen = await openTerminal(sandbox);
      await screen.type(`vi ${file}\r`);
      // The tildes of lines that are not there.
      await screen.shows(/~[^]*~/);
      await screen.type('ihello\rworld');
      await screen.type('\x1b');
      await screen.type(':wq\r');
      await expect.poll(() => sandbox.files.exists(file), patience).toBe(true);
      expect(await sandbox.files.read(file)).toBe('hello\nworld\n');
      screen.terminal.close();
    },
  },
  {
    name: 'htop and tmux paint their screens and can be left',
    async run({ sandbox }) {
      const screen = await openTerminal(sandbox, { cols: 120, rows: 40 });
      await screen.type('htop\r');
      await screen.shows('Load average');
      await screen.type('q');
      await screen.type('echo left$((1 + 1))\r');
      await screen.shows('left2');
      await screen.type('tmux new-session -s work\r');
      await screen.shows(/\[work\]/);
      await screen.type('echo in$((1 + 1))tmux\r');
      await screen.shows('in2tmux');
      await screen.type('exit\r');
      await screen.shows('[exited]');
      screen.terminal.close();
    },
  },
  {
    name: 'a terminal that is resized tells its program',
    cannot: onlyOurs,
    async run({ sandbox }) {
      const screen = await openTerminal(sandbox, { cols: 80, rows: 24 });
      await screen.type('trap "stty size" WINCH; echo set$((1 + 1))\r');
      await screen.shows('set2\r\n');
      await screen.terminal.resize?.({ cols: 133, rows: 55 });
      await screen.type('\r');
      await screen.shows('55 133\r\n');
      await expect(screen.terminal.resize?.({ cols: 0, rows: 1 })).rejects.toMatchObject({ status: 400 });
      screen.terminal.close();
    },
  },
  {
    name: 'a terminal ends with the exit code of its shell',
    cannot: onlyOurs,
    async run({ sandbox }) {
      const screen = await openTerminal(sandbox);
      await screen.type('exit 5\r');
      expect(await screen.terminal.done).toBe(5);
    },
  },
  {
    name: 'a terminal goes on without clients, is listed, and comes back with its screen',
    cannot: onlyOurs,
    async run({ sandbox }) {
      const first = await openTerminal(sandbox);
      await first.type('MARK=kept; echo shown$((1 + 1))\r');
      await first.shows('shown2\r\n');
      first.terminal.close();
      const { sessionId } = first.terminal;
      const listed = await sandbox.pty.list?.();
      expect(listed?.find(({ sessionID }) => sessionID === sessionId)).toMatchObject({ running: true });
      expect((await sandbox.exec.list()).some(({ sessionID }) => sessionID === sessionId)).toBe(false);
      const { onOutput, over } = screen();
      const attached = await sandbox.pty.attach?.(sessionId, { cols: 90, rows: 20, onOutput });
      if (attached === undefined) throw new Error('the client cannot attach to terminals: declare why');
      const again = over(attached);
      await again.shows('shown2\r\n');
      await again.type('echo $MARK; stty size\r');
      await again.shows(/kept\r\n20 90\r\n/);
      await again.terminal.kill?.();
      expect(await again.terminal.done).not.toBe(0);
    },
  },
];
