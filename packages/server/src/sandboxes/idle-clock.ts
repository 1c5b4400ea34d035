import { EventEmitter } from 'node:events';
import { DeadlineHeap } from './deadline-heap.ts';

interface Watched {
  /** Milliseconds; 0 is never. */
  timeoutMs: number;
  /** By the monotonic clock. */
  lastUse: number;
  /** Requests under way. */
  inFlight: number;
  /** The time of its entry in the heap; undefined when it has none. */
  queuedAt: number | undefined;
}

/**
 * Knows which sandboxes nobody uses. Times are monotonic, so that a change of the wall clock stops nothing, and
 * they are in memory: after a restart every sandbox has its whole timeout before it.
 */
export class IdleClock {
  /** Says, by its id, that a sandbox has begun to run, or has ended to. */
  readonly changes = new EventEmitter().setMaxListeners(0);
  readonly #now: () => number;
  readonly #watched = new Map<string, Watched>();
  readonly #heap = new DeadlineHeap();
  readonly #unsaved = new Set<string>();

  /** @param now Monotonic milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Begins to watch a sandbox, or restarts its clock with another timeout. */
  watch(id: string, timeoutSeconds: number): void {
    const watched = this.#watched.get(id);
    const timeoutMs = timeoutSeconds * 1000;
    if (watched === undefined)
      this.#watched.set(id, { timeoutMs, lastUse: this.#now(), inFlight: 0, queuedAt: undefined });
    else watched.timeoutMs = timeoutMs;
    this.touch(id);
    this.#queue(id);
    this.changes.emit(id);
  }

  /** Makes sure that a sandbox which was named as expired, but is not, comes up in time. */
  rearm(id: string): void {
    this.#queue(id);
  }

  forget(id: string): void {
    this.#watched.delete(id);
    this.#unsaved.delete(id);
    this.changes.emit(id);
  }

  /** Restarts the clock. */
  touch(id: string, at = this.#now()): void {
    const watched = this.#watched.get(id);
    if (watched === undefined) return;
    watched.lastUse = Math.max(watched.lastUse, at);
    this.#unsaved.add(id);
  }

  /** Holds the clock while a request is under way. The returned function lets it run again; call it once. */
  hold(id: string): () => void {
    const watched = this.#watched.get(id);
    if (watched === undefined) return () => undefined;
    watched.inFlight += 1;
    this.touch(id);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      watched.inFlight -= 1;
      this.touch(id);
      this.#queue(id);
    };
  }

  /** Milliseconds until it expires if nothing happens; undefined when never or unknown. */
  remainingMs(id: string): number | undefined {
    const watched = this.#watched.get(id);
    if (watched === undefined || watched.timeoutMs === 0) return undefined;
    if (watched.inFlight > 0) return watched.timeoutMs;
    return Math.max(watched.lastUse + watched.timeoutMs - this.#now(), 0);
  }

  /** True when nobody has used it for as long as its timeout. */
  expired(id: string): boolean {
    return this.remainingMs(id) === 0;
  }

  /** The sandboxes whose time is over. Each is named again after `againMs` unless it is used or forgotten. */
  takeExpired(againMs: number): string[] {
    const now = this.#now();
    const expired: string[] = [];
    for (let due = this.#heap.popDue(now); due !== undefined; due = this.#heap.popDue(now)) {
      const id = due.key;
      const watched = this.#watched.get(id);
      // An entry that another one has replaced.
      if (watched?.queuedAt !== due.at) continue;
      watched.queuedAt = undefined;
      if (this.expired(id)) expired.push(id);
      else this.#queue(id);
    }
    for (const id of expired) {
      const watched = this.#watched.get(id);
      if (watched === undefined) continue;
      watched.queuedAt = now + againMs;
      this.#heap.push(id, watched.queuedAt);
    }
    return expired;
  }

  /** The ids that were used since the last call, with the wall clock's time of their last use. */
  takeUnsaved(): [id: string, at: number][] {
    const offset = Date.now() - this.#now();
    const unsaved = [...this.#unsaved].flatMap((id): [string, number][] => {
      const watched = this.#watched.get(id);
      return watched === undefined ? [] : [[id, Math.round(watched.lastUse + offset)]];
    });
    this.#unsaved.clear();
    return unsaved;
  }

  /** Puts an entry into the heap unless one is there that comes in time; uses only move it when it comes up. */
  #queue(id: string): void {
    const watched = this.#watched.get(id);
    if (watched === undefined || watched.timeoutMs === 0 || watched.inFlight > 0) return;
    const at = watched.lastUse + watched.timeoutMs;
    if (watched.queuedAt !== undefined && watched.queuedAt <= at) return;
    watched.queuedAt = at;
    this.#heap.push(id, at);
  }
}
