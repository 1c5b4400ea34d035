import { expect } from 'vitest';
import { patience } from './recorder.ts';
import type { Scenario } from '../scenario.ts';

export const shellScenarios: Scenario[] = [
  {
    name: 'a shell keeps directory, variables and functions',
    async run({ sandbox }) {
      const shell = await sandbox.exec.shell({ cwd: '/tmp', env: { GIVEN: 'yes' } });
      expect(await shell.run('cd /usr && NAME=x && f() { echo "f $1 $GIVEN"; }')).toMatchObject({
        exitCode: 0,
        stdout: '',
        stderr: '',
      });
      expect(await shell.run('f $NAME; pwd; echo oops >&2; (exit 3)')).toMatchObject({
        exitCode: 3,
        stdout: 'f x yes\n/usr\n',
        stderr: 'oops\n',
      });
      expect(await shell.run('')).toMatchObject({ exitCode: 0, stdout: '' });
      expect((await shell.run('printf none; cat <<E\nhere\nE\n')).stdout).toBe('nonehere\n');
      expect((await shell.run('seq 1 50000')).stdout.length).toBe(288_894);
      await shell.close();
      await expect(shell.run('true')).rejects.toMatchObject({ name: 'ShellClosedError' });
    },
  },
  {
    name: 'a shell streams what it prints',
    async run({ sandbox }) {
      const shell = await sandbox.exec.shell();
      let heard = '';
      const pending = shell.run('echo one; sleep 3; echo two', {
        onStdout: (data) => (heard += Buffer.from(data).toString()),
      });
      const long = shell.run('true').catch((error: unknown) => error);
      expect(await long).toMatchObject({ name: 'ShellBusyError' });
      expect((await pending).stdout).toBe('one\ntwo\n');
      expect(heard).toBe('one\ntwo\n');
      await shell.close();
    },
  },
  {
    name: 'a command that exits closes its shell',
    async run({ sandbox }) {
      const shell = await sandbox.exec.shell();
      await expect(shell.run('exit 3')).rejects.toThrow(/bash exited with code 3/);
      await expect(shell.run('true')).rejects.toMatchObject({ name: 'ShellClosedError' });
    },
  },
  {
    name: 'a shell that is killed closes in the middle of a command',
    async run({ sandbox }) {
      const shell = await sandbox.exec.shell();
      const pending = shell.run('sleep 300').catch((error: unknown) => error);
      await sandbox.exec.kill(shell.sessionId);
      expect(await pending).toMatchObject({ name: 'ShellClosedError' });
    },
  },
  {
    name: 'a shell is found again by its id, with its state and without its past output',
    async run({ sandbox }) {
      const shell = await sandbox.exec.shell();
      await shell.run('cd /var; MARK=kept; echo old');
      const again = await sandbox.exec.reattachShell(shell.sessionId);
      let heard = '';
      const { stdout } = await again.run('echo $MARK in $PWD', {
        onStdout: (data) => (heard += Buffer.from(data).toString()),
      });
      expect([stdout, heard]).toEqual(['kept in /var\n', 'kept in /var\n']);
      await again.close();
      await expect
        .poll(
          async () =>
            (await sandbox.exec.list()).find(({ sessionID }) => sessionID === shell.sessionId)?.running,
          patience,
        )
        .toBe(false);
    },
  },
];
