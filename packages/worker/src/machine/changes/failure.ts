import { ApiError, type ErrorCode } from '@opencomputer/protocol';
import { errorText, systemErrorCode } from '../../host/errors.ts';

/** Turns errors that are not `ApiError` into ones with a code, and a message that begins with what failed. */
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
