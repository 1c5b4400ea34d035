import { runScenarios } from './run-scenarios.ts';
import { checkpointScenarios } from './scenarios/state/checkpoints.ts';
import { forkScenarios } from './scenarios/state/forks.ts';
import { hibernationScenarios } from './scenarios/state/hibernation.ts';

runScenarios([...hibernationScenarios, ...checkpointScenarios, ...forkScenarios]);
