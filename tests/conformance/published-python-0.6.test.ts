import { publishedPython06 } from './clients/python.ts';
import { runScenarios } from './run-scenarios.ts';
import { filesScenarios } from './scenarios/files.ts';
import { lifecycleScenarios } from './scenarios/lifecycle.ts';

runScenarios(publishedPython06, { files: filesScenarios, lifecycle: lifecycleScenarios });
