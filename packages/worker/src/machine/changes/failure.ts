import { ApiError, type ErrorCode } from '@opencomputer/protocol';
import { errorText, systemErrorCode } from '../../host/errors.ts';

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
    const kind = systemErrorCode(error) === 'ENOSPC' ? 'no_space' : code;
    throw new ApiError(kind, `${what}: ${errorText(error)}`, { cause: error });
  }
}
