import { expect, test } from 'vitest';
import { describeNetworkMode } from './describe.ts';

test('namespace mode misses nothing', () => {
  expect(describeNetworkMode({ mode: 'namespace', shortcomings: [] })).toMatchObject({
    mode: 'namespace',
    reasons: [],
    missing: [],
    fixes: [],
  });
});

test('user mode says why, what is not held and what to do', () => {
  const facts = describeNetworkMode({
    mode: 'user',
    shortcomings: [{ check: 'root', problem: 'not running as root', fix: 'start OpenComputer as root' }],
  });
  expect(facts.reasons).toEqual(['not running as root']);
  expect(facts.fixes).toEqual(['start OpenComputer as root']);
  expect(facts.missing.join()).toContain('169.254.169.254');
});
