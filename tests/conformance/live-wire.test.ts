import { ours } from './clients/ours.ts';
import { runScenarios } from './run-scenarios.ts';
import { tokenScenarios, wireScenarios } from './scenarios/live/wire.ts';

// The client only makes sandboxes here.
runScenarios([...wireScenarios, ...tokenScenarios], [ours]);
