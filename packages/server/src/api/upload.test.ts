import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { boundedBody } from './upload.ts';

const chunks = (): Readable => Readable.from([Buffer.from('abc'), Buffer.from('def')]);

test('a body within the bound passes unchanged', async () => {
  expect((await buffer(boundedBody(chunks(), undefined, 6))).toString()).toBe('abcdef');
});

test('a body that grows beyond it fails and stops its source', async () => {
  const source = chunks();
  await expect(buffer(boundedBody(source, undefined, 5))).rejects.toMatchObject({ code: 'too_large' });
  expect(source.destroyed).toBe(true);
});

test('a declared length is left to the parser', () => {
  const source = chunks();
  expect(boundedBody(source, 6, 5)).toBe(source);
});
