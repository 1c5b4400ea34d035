import { describe, expect, it } from 'vitest';
import { atLeastShare, atMost, atMostMoreMs, atMostTimes, compare } from './finding.ts';

const what = { group: 'create', name: 'create', unit: 'ms' } as const;

describe('promises', () => {
  it('hold at their bound and break beyond it', () => {
    expect(atMostTimes(1.3)(130, 100).kept).toBe(true);
    expect(atMostTimes(1.3)(131, 100)).toEqual({
      promise: 'at most 1.3 times the floor',
      outcome: '1.31 times',
      kept: false,
    });
    expect(atMostMoreMs(6)(16, 10).kept).toBe(true);
    expect(atMostMoreMs(6)(16.1, 10).kept).toBe(false);
    expect(atLeastShare(0.7)(70, 100).kept).toBe(true);
    expect(atLeastShare(0.7)(69, 100).kept).toBe(false);
    expect(atMost(64, 'MB')(64, Number.NaN).kept).toBe(true);
    expect(atMost(64, 'MB')(65, Number.NaN).kept).toBe(false);
  });

  it('do not hold when the floor was not measured', () => {
    expect(compare(what, [1], [], atMostTimes(1.3)).verdict?.kept).toBe(false);
    expect(compare(what, [1], [], atLeastShare(0.7)).verdict?.kept).toBe(false);
  });
});

describe('compare', () => {
  it('judges the medians', () => {
    const finding = compare(what, [100, 110, 900], [90, 100, 110], atMostTimes(1.3));
    expect(finding.ours.median).toBe(110);
    expect(finding.floor?.median).toBe(100);
    expect(finding.verdict?.kept).toBe(true);
  });

  it('has no floor and no verdict where there is none', () => {
    const finding = compare(what, [1], []);
    expect(finding.floor).toBeUndefined();
    expect(finding.verdict).toBeUndefined();
  });
});
