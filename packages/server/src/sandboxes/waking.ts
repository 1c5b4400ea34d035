import type { ApiError } from '@opencomputer/protocol';
import { isHibernated } from '../store/sandboxes.ts';

/** How often something is tried; somebody else may hibernate the sandbox again between a wake and the next attempt. */
const attemptsMax = 4;

/**
 * The one policy for what is done with a sandbox that may be hibernated: what a hibernated one refuses has done nothing,
 * so it is woken and the work is done again, at most four times in all. Everything else that fails is not tried again.
 * @throws what `wake` throws, what `work` throws, the refusal when it is hibernated again each time.
 */
export async function whileAwake<T>(wake: () => Promise<unknown>, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (!isHibernated(error) || attempt === attemptsMax) throw error;
      await wake();
    }
  }
}

/**
 * The same for work that can be begun once only, such as an upload: the sandbox is woken all the same.
 * @param refused Makes the error that says so, and that the caller may try again.
 */
export async function onceAwake<T>(
  wake: () => Promise<unknown>,
  work: () => Promise<T>,
  refused: (cause: unknown) => ApiError,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isHibernated(error)) throw error;
    await wake();
    throw refused(error);
  }
}

/** Wakes that are under way: whoever wants the same sandbox meanwhile shares one. */
export class SharedWakes {
  readonly #underWay = new Map<string, Promise<void>>();

  /** Wakes a sandbox by `wake`, unless it is being woken. @throws what that wake throws */
  share(id: string, wake: () => Promise<void>): Promise<void> {
    const current = this.#underWay.get(id);
    if (current !== undefined) return current;
    const waking = wake().finally(() => this.#underWay.delete(id));
    this.#underWay.set(id, waking);
    return waking;
  }
}
