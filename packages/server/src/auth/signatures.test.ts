import { expect, test } from 'vitest';
import { signatureLifetime, type SignedFile, signFile, verifySignature } from './signatures.ts';

const file: SignedFile = {
  sandboxId: 'sb-0a1b2c3d',
  path: '/home/sandbox/a.txt',
  action: 'download',
  expires: 1_750_000_000,
};
const vector = 'e997ddf4bbe8fa273b871b5cadd7fbb2eaf5cf7096c7495af4c24c99267e767c';

test('signs as the contract says', () => {
  expect(signFile('test-secret', file)).toBe(vector);
});

test('accepts until the second before it expires', () => {
  verifySignature('test-secret', file, vector, file.expires - 1);
  expect(() => verifySignature('test-secret', file, vector, file.expires)).toThrow('signed URL expired');
});

test.each([
  { ...file, sandboxId: 'sb-0a1b2c3e' },
  { ...file, path: '/home/sandbox/b.txt' },
  { ...file, action: 'upload' as const },
  { ...file, expires: file.expires + 1 },
])('another file, action or time is refused: %o', (other) => {
  expect(() => verifySignature('test-secret', other, vector, 0)).toThrow('invalid signature');
});

test.each(['', 'x', `${vector}0`, vector.toUpperCase()])('the signature %s is refused', (signature) => {
  expect(() => verifySignature('test-secret', file, signature, 0)).toThrow('invalid signature');
});

test.each([
  [undefined, 3600],
  [0, 3600],
  [-5, 3600],
  [60, 60],
  [1_000_000, 86_400],
])('a lifetime of %s becomes %i s', (asked, seconds) => {
  expect(signatureLifetime(asked)).toBe(seconds);
});
