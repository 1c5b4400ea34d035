import type { Sandbox } from './sandbox.ts';
import type { ConnectionOptions } from './config.ts';
import type { SandboxStatus } from './wire.ts';

/** Options of `Sandbox.list`. */
export interface ListOptions extends ConnectionOptions {
  /** Only sandboxes of this status. Default: all that have not stopped. */
  status?: SandboxStatus | 'all' | undefined;
  /** Only sandboxes whose metadata holds all of these. */
  metadata?: Record<string, string> | undefined;
  /** Sandboxes per page, at most 1000. Default 200. */
  limit?: number | undefined;
  /** Begins with this page: `nextCursor` of the one before. */
  cursor?: string | undefined;
}

/** One page of a list. */
export interface SandboxPage {
  sandboxes: Sandbox[];
  /** Where the next page begins; undefined on the last one. */
  nextCursor: string | undefined;
}

/** Sandboxes, newest first. Pages are fetched as they are needed. */
export class SandboxList implements AsyncIterable<Sandbox> {
  readonly #fetchPage: (cursor: string | undefined) => Promise<SandboxPage>;
  readonly #firstCursor: string | undefined;

  /** Internal: use `Sandbox.list`. */
  constructor(
    fetchPage: (cursor: string | undefined) => Promise<SandboxPage>,
    firstCursor: string | undefined,
  ) {
    this.#fetchPage = fetchPage;
    this.#firstCursor = firstCursor;
  }

  /** The sandboxes one by one. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Sandbox> {
    for await (const page of this.pages()) yield* page.sandboxes;
  }

  /**
   * The list page by page.
   *
   * @example
   * for await (const { sandboxes, nextCursor } of Sandbox.list({ limit: 50 }).pages()) show(sandboxes, nextCursor);
   */
  async *pages(): AsyncGenerator<SandboxPage> {
    let cursor = this.#firstCursor;
    do {
      const page = await this.#fetchPage(cursor);
      yield page;
      cursor = page.nextCursor;
    } while (cursor !== undefined);
  }
}
