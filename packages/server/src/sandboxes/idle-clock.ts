import { EventEmitter } from 'node:events';
import type { GuestUse } from '@opencomputer/protocol';
import { DeadlineHeap } from './deadline-heap.ts';

/** A last use is written down once it is later than the one that is written by this part of the timeout. */
const unsavedPart = 1 / 20;
/** The most milliseconds that it may be later. */
const longestUnsavedMs = 60_000;

/** What was found in use when the time of a sandbox was over. */
export interface KeptAwake {
  readonly use: GuestUse;
  /** By the wall clock. */
  readonly at: number;
}

interface Watched {
  /** Milliseconds; 0 is never. */
  timeoutMs: number;
  /** By the monotonic clock. */
  lastUse: number;
  /** The last use as it is written down. */
  savedUse: number;
  /** Requests under way. */
  inFlight: number;
  /** The time of its entry in the heap; undefined when it has none. */
  queuedAt: number | undefined;
  keptAwake: KeptAwake | undefined;
}

/**
 * Knows which sandboxes nobody uses. Times are monotonic, so that a change of the wall clock stops nothing while the
 * server runs; what is written down is wall-clock time.
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
    this.#watch(id, timeoutSeconds, this.#now(), -Infinity);
  }

  /**
   * Goes on watching a sandbox after a restart of the server.
   * @param lastUse Wall-clock milliseconds. A time to come, from before the clock was put back, is now.
   */
  resume(id: string, timeoutSeconds: number, lastUse: number): void {
    const ago = Math.min(Math.max(Date.now() - lastUse, 0), timeoutSeconds * 1000);
    const at = this.#now() - ago;
    this.#watch(id, timeoutSeconds, at, at);
  }

  #watch(id: string, timeoutSeconds: number, lastUse: number, savedUse: number): void {
    const watched = this.#watched.get(id);
    const timeoutMs = timeoutSeconds * 1000;
    if (watched === undefined)
      this.#watched.set(id, {
        timeoutMs,
        lastUse,
        savedUse,
        inFlight: 0,
        queuedAt: undefined,
        keptAwake: undefined,
      });
    else watched.timeoutMs = timeoutMs;
    this.touch(id, lastUse);
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

  /** Takes what the guest has in use into account: the clock stands still until that has ended. */
  guestUse(id: string, use: GuestUse): void {
    const watched = this.#watched.get(id);
    if (watched === undefined) return;
    watched.keptAwake = use.count > 0 ? { use, at: Date.now() } : undefined;
    if (use.count > 0) this.touch(id);
    else if (use.idleMs !== null) this.touch(id, this.#now() - use.idleMs);
  }

  /** What kept a sandbox awake when its time was over the last time; undefined when nothing did, or long ago. */
  keptAwake(id: string): KeptAwake | undefined {
    const watched = this.#watched.get(id);
    if (watched?.keptAwake === undefined) return undefined;
    return Date.now() - watched.keptAwake.at > watched.timeoutMs + longestUnsavedMs
      ? undefined
      : watched.keptAwake;
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

  /**
   * The sandboxes whose last use should be written down, with its time by the wall clock: those where it has moved by
   * a part of the timeout, or all where it has moved at all.
   */
  takeUnsaved(all = false): [id: string, at: number][] {
    const now = this.#now();
    const offset = Date.now() - now;
    const unsaved: [string, number][] = [];
    for (const id of this.#unsaved) {
      const watched = this.#watched.get(id);
      if (watched === undefined) continue;
      const lastUse = watched.inFlight > 0 ? now : watched.lastUse;
      const tolerated = Math.min(watched.timeoutMs * unsavedPart || longestUnsavedMs, longestUnsavedMs);
      if (!all && lastUse - watched.savedUse < tolerated) continue;
      watched.savedUse = lastUse;
      unsaved.push([id, Math.round(lastUse + offset)]);
      if (watched.inFlight === 0) this.#unsaved.delete(id);
    }
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
