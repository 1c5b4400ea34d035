import { describe, expect, it } from 'vitest';
import { groups, readOptions } from './options.ts';

describe('readOptions', () => {
  it('measures everything unless told otherwise', () => {
    expect(readOptions([])).toEqual({
      only: [...groups],
      runs: 20,
      quick: false,
      check: false,
      force: false,
    });
  });

  it('takes fewer rounds when it shall be quick, unless they are given', () => {
    expect(readOptions(['--quick'])).toMatchObject({ quick: true, runs: 6 });
    expect(readOptions(['--quick', '--runs', '9'])).toMatchObject({ runs: 9 });
  });

  it('takes some measures alone', () => {
    expect(readOptions(['--only', 'create, exec'])).toMatchObject({ only: ['create', 'exec'] });
  });

  it('refuses what it does not know', () => {
    expect(() => readOptions(['--only', 'creat'])).toThrow('"creat"');
    expect(() => readOptions(['--runs', '0'])).toThrow('--runs');
    expect(() => readOptions(['--runs', '1.5'])).toThrow('--runs');
    expect(() => readOptions(['--fast'])).toThrow();
  });
});
