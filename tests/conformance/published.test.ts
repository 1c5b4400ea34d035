import { published } from './clients/published.ts';
import { runScenarios } from './run-scenarios.ts';
import { everyScenario } from './scenarios/every.ts';

runScenarios(published, everyScenario);
