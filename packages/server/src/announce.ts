import type { NewKey } from './auth/bootstrap.ts';

/** Shows a generated key. It is not shown again. */
export function announceKey({ key, path }: NewKey): void {
  const line = '-'.repeat(key.length + 4);
  process.stdout.write(
    `\n${line}\n  The API key of this installation, shown only now:\n\n  ${key}\n\n  It is also in ${path}\n${line}\n\n`,
  );
}
