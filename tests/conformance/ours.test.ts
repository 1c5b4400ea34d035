import { ours } from './clients/ours.ts';
import { runScenarios } from './run-scenarios.ts';
import { everyScenario } from './scenarios/every.ts';

runScenarios(ours, everyScenario);
