import { InvalidRequestError } from './errors.ts';

/** The error for an invalid option; nothing has been sent. */
export function invalidOption(message: string, hint: string): InvalidRequestError {
  return new InvalidRequestError(message, { code: 'invalid_option', hint });
}
