/** Something about the host keeps the worker from doing its job. The message says what, the hint how to fix it. */
export class HostError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HostError';
    this.hint = hint;
  }
}

/** The `code` of a system error (`ENOENT`, `EACCES`...), or undefined for anything else that was thrown. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The message of whatever was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
