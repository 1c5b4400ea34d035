import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { boundedBody } from './upload.ts';

const chunks = (): Readable => Readable.from([Buffer.from('abc'), Buffer.from('def')]);

test('a body within the bound passes unchanged', async () => {
  expect((await buffer(boundedBody(chunks(), 6))).toString()).toBe('abcdef');
});

test('a body that grows beyond it fails', async () => {
  await expect(buffer(boundedBody(chunks(), 5))).rejects.toMatchObject({ code: 'too_large' });
});

test('a body that is cut off fails', async () => {
  const source = new PassThrough();
  const received = buffer(boundedBody(source, 100));
  source.write('abc', () => source.destroy(new Error('cut off')));
  await expect(received).rejects.toThrow('cut off');
});

test('a body that nobody wants any more can be drained', async () => {
  const source = new PassThrough();
  const body = boundedBody(source, 1000);
  const closed = new Promise<void>((resolve) => body.once('close', () => resolve()));
  body.on('error', () => undefined);
  body.destroy(new Error('refused'));
  await closed;
  expect(source.destroyed).toBe(false);
  source.end('the rest');
  expect((await buffer(source)).toString()).toBe('the rest');
});
