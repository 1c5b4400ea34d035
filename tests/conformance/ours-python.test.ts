import { ourPython } from './clients/python.ts';
import { runScenarios } from './run-scenarios.ts';
import { everyScenario } from './scenarios/every.ts';

runScenarios(ourPython, everyScenario);
