import { runScenarios } from './run-scenarios.ts';
import { agentScenarios } from './scenarios/live/agents.ts';
import { endingScenarios } from './scenarios/live/endings.ts';
import { reconnectionScenarios } from './scenarios/live/reconnections.ts';
import { sessionScenarios } from './scenarios/live/sessions.ts';
import { shellScenarios } from './scenarios/live/shells.ts';
import { terminalScenarios } from './scenarios/live/terminals.ts';

runScenarios([
  ...sessionScenarios,
  ...endingScenarios,
  ...reconnectionScenarios,
  ...shellScenarios,
  ...terminalScenarios,
  ...agentScenarios,
]);
