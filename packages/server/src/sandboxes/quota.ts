import { ApiError } from '@opencomputer/protocol';
import { countHibernated, countLive } from '../store/quota.ts';
import type { Store } from '../store/tables.ts';

/** How many sandboxes one owner may have. Call it in the transaction that makes one more. */
export class Quota {
  readonly #maxLive: number;
  readonly #maxHibernated: number;

  constructor(maxLive: number, maxHibernated: number) {
    this.#maxLive = maxLive;
    this.#maxHibernated = maxHibernated;
  }

  /** @throws ApiError `too_many_sandboxes` when `more` would be too many live ones. */
  async requireRoom(tx: Store, owner: string, more = 1): Promise<void> {
    const active = await countLive(tx, owner);
    const limit = this.#maxLive;
    if (active + more <= limit) return;
    throw new ApiError('too_many_sandboxes', `${active} sandboxes are live, ${limit} are allowed`, {
      details: { active, limit },
    });
  }

  /** @throws ApiError `too_many_sandboxes` when one more would be too many hibernated ones. */
  async requireHibernated(tx: Store, owner: string): Promise<void> {
    const hibernated = await countHibernated(tx, owner);
    const limit = this.#maxHibernated;
    if (hibernated < limit) return;
    throw new ApiError('too_many_sandboxes', `${hibernated} sandboxes are hibernated, ${limit} are allowed`, {
      hint: 'Kill one, or raise OPENCOMPUTER_MAX_HIBERNATED.',
      details: { active: hibernated, limit },
    });
  }
}
