import { runScenarios } from './run-scenarios.ts';
import { filesScenarios } from './scenarios/files.ts';

runScenarios(filesScenarios);
