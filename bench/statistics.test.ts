import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { medians, quantile, summarize } from './statistics.ts';

describe('quantile', () => {
  it('interpolates between neighbours', () => {
    expect(quantile([10, 20, 30, 40], 0.5)).toBe(25);
    expect(quantile([10, 20, 30, 40, 50], 0.25)).toBe(20);
    expect(quantile([0, 100], 0.95)).toBeCloseTo(95);
  });

  it('is the value itself where there is one', () => {
    expect(quantile([7], 0)).toBe(7);
    expect(quantile([7], 0.95)).toBe(7);
  });

  it('refuses no values and shares that are none', () => {
    expect(() => quantile([], 0.5)).toThrow(RangeError);
    expect(() => quantile([1], 1.1)).toThrow(RangeError);
    expect(() => quantile([1], Number.NaN)).toThrow(RangeError);
  });
});

describe('summarize', () => {
  it('does not depend on the order, and leaves its input as it is', () => {
    const values = [3, 1, 2];
    expect(summarize(values)).toEqual({ count: 3, median: 2, p95: 2.9, min: 1, max: 3 });
    expect(values).toEqual([3, 1, 2]);
  });

  it('orders by size, not by text', () => {
    expect(summarize([9, 10, 100]).median).toBe(10);
  });

  it('keeps its figures in order and within the values', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -1e9, max: 1e9 }), { minLength: 1 }), (values) => {
        const { min, median, p95, max } = summarize(values);
        expect(min).toBe(Math.min(...values));
        expect(max).toBe(Math.max(...values));
        expect(min <= median && median <= p95 && p95 <= max).toBe(true);
      }),
    );
  });

  it('refuses what is not a measurement', () => {
    expect(() => summarize([])).toThrow(RangeError);
    expect(() => summarize([1, Number.NaN])).toThrow(RangeError);
    expect(() => summarize([1, Infinity])).toThrow(RangeError);
  });
});

describe('medians', () => {
  it('takes each name by itself, also where a sample lacks it', () => {
    expect(medians([{ a: 1, b: 10 }, { a: 3 }, { a: 2, b: 20 }])).toEqual({ a: 2, b: 15 });
    expect(medians([])).toEqual({});
  });
});
