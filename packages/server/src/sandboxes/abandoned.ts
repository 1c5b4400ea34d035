import { ApiError } from '@opencomputer/protocol';

/** The reason of a creation that ended because nobody wants it any more. */
export class CreationAbandoned extends ApiError {
  constructor(reason: string) {
    super('abandoned', reason);
  }
}
