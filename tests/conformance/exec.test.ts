import { runScenarios } from './run-scenarios.ts';
import { execScenarios } from './scenarios/exec.ts';

runScenarios(execScenarios);
