import { InvalidRequestError } from './errors.ts';

/** The error of an option that cannot be used; nothing has been sent. */
export function invalidOption(message: string, hint: string): InvalidRequestError {
  return new InvalidRequestError(message, { code: 'invalid_option', hint });
}
