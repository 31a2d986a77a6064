// Sign-outs that the engine has not heard of yet (protocol §9): tried again until it has, so that a person who signed out while the
// engine was away does not stay signed in everywhere else.

import { type Clock, later } from "./clock.js";
import type { Log } from "./log.js";

const FIRST_PAUSE_MILLISECONDS = 2000;
const LONGEST_PAUSE_MILLISECONDS = 5 * 60 * 1000;
const LONGEST_MILLISECONDS = 24 * 3600 * 1000;
/** Whoever posts sign-outs while the engine is away must not fill the memory. */
const MOST_PENDING = 1000;

/** Tries once; true when there is nothing left to do. */
export type Attempt = () => Promise<boolean>;

/** What is still to be said to the engine, in memory. */
export class SignOutRetries {
  readonly #clock: Clock;
  readonly #log: Log;
  /** By name, how to stop waiting. */
  readonly #pending = new Map<string, () => void>();

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Tries later and later again, for a day. The same name is pending once, however often somebody clicks. */
  add(name: string, attempt: Attempt): void {
    if (this.#pending.has(name)) return;
    if (this.#pending.size >= MOST_PENDING) {
      this.#log("error", "a sign-out is given up: too many are waiting for the engine", { pending: this.#pending.size });
      return;
    }
    this.#wait(name, attempt, FIRST_PAUSE_MILLISECONDS, this.#clock.monotonic());
  }

  /** How many are waiting. */
  get size(): number {
    return this.#pending.size;
  }

  /** Gives all of them up. */
  close(): void {
    for (const stop of this.#pending.values()) stop();
    this.#pending.clear();
  }

  #wait(name: string, attempt: Attempt, pause: number, since: number): void {
    // Half to all of the pause, so that a restarted engine does not hear of all of them at once.
    const stop = later(this.#clock, pause * (0.5 + Math.random() / 2), () => void this.#try(name, attempt, pause, since));
    this.#pending.set(name, stop);
  }

  async #try(name: string, attempt: Attempt, pause: number, since: number): Promise<void> {
    const done = await attempt().catch(() => false);
    // Given up meanwhile.
    if (!this.#pending.has(name)) return;
    if (done) {
      this.#pending.delete(name);
      this.#log("info", "the engine has heard of a sign-out that it missed", {});
    } else if (this.#clock.monotonic() - since >= LONGEST_MILLISECONDS) {
      this.#pending.delete(name);
      this.#log("error", "a sign-out is given up: the engine did not answer for a day", {});
    } else {
      this.#wait(name, attempt, Math.min(pause * 2, LONGEST_PAUSE_MILLISECONDS), since);
    }
  }
}
