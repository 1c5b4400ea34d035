import { ApiError, type ErrorCode } from '@opencomputer/protocol';

/** Gives errors that are not meant for clients a code and a beginning that says what failed. */
export async function failAs<Result>(
  code: ErrorCode,
  what: string,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ApiError) throw error;
    const { message, code: system } = error as NodeJS.ErrnoException;
    throw new ApiError(system === 'ENOSPC' ? 'no_space' : code, `${what}: ${message}`, { cause: error });
  }
}
