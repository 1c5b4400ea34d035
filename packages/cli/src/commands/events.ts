import { Command } from 'commander';
import { App } from '../app.ts';
import { withExamples } from '../examples.ts';
import { formatTable } from '../output/table.ts';
import { sandboxArgument } from './arguments.ts';
import type { SandboxEvent } from '@opencomputer/sdk';

/** `oc events`. */
export function eventsCommand(): Command {
  const command = new Command('events')
    .summary('show what happened to a sandbox')
    .description('Shows what happened to a sandbox, oldest first: who did it, and why.')
    .addArgument(sandboxArgument())
    .action(async (id: string, _: object, self: Command) => {
      const app = await App.of(self);
      const sandbox = await app.connect(id);
      const events: SandboxEvent[] = [];
      for await (const event of sandbox.events()) events.push(event);
      app.show(events, () =>
        formatTable(
          ['TIME', 'BY', 'WHAT', 'WHY'],
          events.map(({ time, actor, kind, reason }) => [time.toISOString(), actor, kind, reason ?? '']),
          app.paint,
        ),
      );
    });
  return withExamples(command, 'oc events sb-0a1b2c3d');
}
