import { expect, test } from 'vitest';
import * as names from './index.ts';
import { Agent, AgentSession, SandboxAgent, SandboxAgentSession } from './index.ts';

test('names of clients before are names of the same', () => {
  expect(SandboxAgent).toBe(Agent);
  expect(SandboxAgentSession).toBe(AgentSession);
});

test('what it exports is what it exported', () => {
  expect(
    Object.keys(names)
      .filter((name) => !name.endsWith('Error'))
      .toSorted(),
  ).toEqual([
    'Agent',
    'AgentSession',
    'Exec',
    'ExecSession',
    'Filesystem',
    'Pty',
    'PtySession',
    'Sandbox',
    'SandboxAgent',
    'SandboxAgentSession',
    'SandboxList',
    'Shell',
  ]);
});
