import { ours } from './clients/ours.ts';
import { runScenarios } from './run-scenarios.ts';
import { httpScenarios } from './scenarios/http.ts';
import { tokenScenarios, wireScenarios } from './scenarios/live/wire.ts';

// The client only makes sandboxes here.
runScenarios(ours, { http: httpScenarios, sockets: wireScenarios, tokens: tokenScenarios });
