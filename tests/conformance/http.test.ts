import { ours } from './clients/ours.ts';
import { runScenarios } from './run-scenarios.ts';
import { httpScenarios } from './scenarios/http.ts';

// The client only makes sandboxes here.
runScenarios(httpScenarios, [ours]);
