import type { GuestUse } from '@opencomputer/protocol';
import type { SimulatedMachine } from './simulated-machines.ts';

/** What a simulated machine has in use. */
export function useOf({ commands, sessions }: Pick<SimulatedMachine, 'commands' | 'sessions'>): GuestUse {
  const { running, lastEnd } = commands.use;
  const counted = [...sessions.all.values()].filter(({ request }) => request.keepAwake !== false);
  const used = counted.filter(
    ({ exitCode, request, atWork }) => exitCode === undefined && (request.kind === 'session' || atWork),
  );
  const all = [
    ...running.map((id) => ({ id, kind: 'run', command: 'a command' })),
    ...used.map(({ request: { id = '', kind = 'run', argv } }) => ({ id, kind, command: argv.join(' ') })),
  ];
  const ends = [lastEnd, ...counted.map(({ endedAt }) => endedAt)].filter((end) => end !== undefined);
  const idleMs = ends.length === 0 ? null : Math.max(Date.now() - Math.max(...ends), 0);
  return { sessions: all.slice(0, 8), count: all.length, idleMs };
}
