import { formatAge } from './format.ts';
import { formatTable } from './table.ts';
import type { ExecSessionInfo } from '@opencomputer/sdk';
import type { Paint } from './colors.ts';

const longestCommand = 60;

export function sessionTable(sessions: readonly ExecSessionInfo[], paint: Paint): string {
  const rows = sessions.map((each) => {
    const command = [each.command, ...each.args].join(' ');
    return [
      each.sessionID,
      each.running ? paint('green', 'running') : `exit ${each.exitCode ?? '?'}`,
      String(each.attachedClients),
      formatAge(new Date(each.startedAt)),
      command.length > longestCommand ? `${command.slice(0, longestCommand - 1)}…` : command,
    ];
  });
  return formatTable(['SESSION', 'STATE', 'CLIENTS', 'STARTED', 'COMMAND'], rows, paint);
}
