import { execScenarios } from './exec.ts';
import { filesScenarios } from './files.ts';
import { lifecycleScenarios } from './lifecycle.ts';
import { agentScenarios } from './live/agents.ts';
import { endingScenarios } from './live/endings.ts';
import { reconnectionScenarios } from './live/reconnections.ts';
import { sessionScenarios } from './live/sessions.ts';
import { shellScenarios } from './live/shells.ts';
import { terminalScenarios } from './live/terminals.ts';
import { checkpointScenarios } from './state/checkpoints.ts';
import { forkScenarios } from './state/forks.ts';
import { hibernationScenarios } from './state/hibernation.ts';
import type { Scenario } from './scenario.ts';

/** What every client must show, by what it is about. */
export const everyScenario: Record<string, readonly Scenario[]> = {
  exec: execScenarios,
  files: filesScenarios,
  lifecycle: lifecycleScenarios,
  sessions: [...sessionScenarios, ...endingScenarios, ...reconnectionScenarios],
  shells: shellScenarios,
  terminals: terminalScenarios,
  agents: agentScenarios,
  hibernation: hibernationScenarios,
  checkpoints: checkpointScenarios,
  forks: forkScenarios,
};
