import { runScenarios } from './run-scenarios.ts';
import { lifecycleScenarios } from './scenarios/lifecycle.ts';

runScenarios(lifecycleScenarios);
