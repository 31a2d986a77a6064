// What this app remembers of introspection: facts about live sessions, never decisions (protocol §4, §5; advisory T34). Bounded,
// kept no longer than told, forgotten at once when the change stream says so, asked for once however many wait.

import type { Facts } from "./caller.js";
import type { Clock } from "./clock.js";
import type { Away } from "./engine.js";
import { fingerprint } from "./sealer.js";

/** The longest any answer is kept without a live change stream, whatever the engine says. */
const LONGEST_BLIND_MILLISECONDS = 10_000;
/** The longest with one. */
const LONGEST_LIVE_MILLISECONDS = 60_000;
/** Doubts about answers under way: a forger's hints push out old ones, and each is worth one answer of ten seconds. */
const MOST_DOUBTS = 1000;
/** Two heartbeats of five seconds may go missing. */
export const SILENCE_MILLISECONDS = 12_000;

/** A live session, as just learned or as remembered. */
export interface Known {
  readonly facts: Facts;
  /** To be relayed; only with the answer that brought it. */
  readonly setCookie: string | undefined;
  readonly csrfFailed: boolean;
}

/** What a flight brings home: per pass, what is known, or undefined for inactive. */
export type Landed = ReadonlyArray<Known | undefined> | Away;

/** The moment at which a question was asked. */
export interface StartingPoint {
  readonly revision: number;
  readonly watchedBy: number | undefined;
  readonly askedAt: number;
}

/** One remembered answer. */
interface Entry {
  readonly facts: Facts;
  readonly learnedAt: number;
  readonly keepMilliseconds: number;
  /** The stream that was live when it was learned, which therefore reports every later change. */
  readonly watchedBy: number | undefined;
}

/** What is known, and what is being asked. */
export class Memory {
  readonly #appKey: string;
  readonly #clock: Clock;
  readonly #capacity: number;
  /** By fingerprint of the pass, the least recently used first. */
  readonly #entries = new Map<string, Entry>();
  /** The keys of each session's passes, so that a hint about one session costs no look at all others. */
  readonly #sessions = new Map<string, Set<string>>();
  /** When each session was last doubted. */
  readonly #doubts = new Map<string, number>();
  readonly #flights = new Map<string, Promise<Landed>>();
  /** Counts reported changes: an answer asked for before a change is not kept after it. */
  #revision = 0;
  /** Distinguishes one connection of the change stream from the next. */
  #generation = 0;
  #lastHeard: number | undefined;

  /** Remembers at most `capacity` passes. */
  constructor(appKey: string, clock: Clock, capacity: number) {
    this.#appKey = appKey;
    this.#clock = clock;
    this.#capacity = capacity;
  }

  /** Names a pass, as introspected by this app, without holding it. */
  key(pass: string): string {
    return fingerprint([this.#appKey, pass]);
  }

  /** The facts, if they may still be used without asking. */
  fresh(key: string): Facts | undefined {
    const entry = this.#used(key);
    if (!entry) return undefined;
    const watched = entry.watchedBy !== undefined && entry.watchedBy === this.#liveStream();
    const keep = Math.min(entry.keepMilliseconds, watched ? LONGEST_LIVE_MILLISECONDS : LONGEST_BLIND_MILLISECONDS);
    return this.#age(entry) < keep ? entry.facts : undefined;
  }

  /** The facts, if they are no older than `graceMilliseconds`: for when the engine is away. */
  withinGrace(key: string, graceMilliseconds: number): Facts | undefined {
    const entry = this.#used(key);
    return entry && graceMilliseconds > 0 && this.#age(entry) <= graceMilliseconds ? entry.facts : undefined;
  }

  /** The facts at any age: only to ask whether they have changed. */
  lastKnown(key: string): Facts | undefined {
    return this.#used(key)?.facts;
  }

  /** To be taken before asking, and shown when the answer is to be kept. */
  startingPoint(): StartingPoint {
    return { revision: this.#revision, watchedBy: this.#liveStream(), askedAt: this.#clock.monotonic() };
  }

  /** Keeps an answer, unless something changed since it was asked for. */
  keep(key: string, facts: Facts, cacheForSeconds: number, start: StartingPoint): void {
    this.#drop(key);
    if (this.#revision !== start.revision || (this.#doubts.get(facts.sessionId) ?? -Infinity) >= start.askedAt) return;
    const secondsLeft = Math.max(0, facts.expiresAt - this.#clock.unixSeconds());
    this.#entries.set(key, {
      facts,
      // Its age counts from the question: what changed while the answer travelled is not in it.
      learnedAt: start.askedAt,
      keepMilliseconds: Math.min(cacheForSeconds, secondsLeft) * 1000,
      watchedBy: start.watchedBy,
    });
    const ofSession = this.#sessions.get(facts.sessionId) ?? new Set();
    this.#sessions.set(facts.sessionId, ofSession.add(key));
    if (this.#entries.size > this.#capacity) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#drop(oldest);
    }
  }

  /** Drops what the engine no longer confirms. */
  forget(key: string): void {
    this.#drop(key);
  }

  /**
   * Drops everything about one session because somebody, perhaps a forger, says that it may have ended. Unlike a reported
   * change it spoils nobody else's answers: else whoever sends hints could keep everything from being remembered.
   */
  doubt(sessionId: string): void {
    const keys = [...(this.#sessions.get(sessionId) ?? [])];
    for (const key of keys) this.#drop(key);
    // Nobody joins a question about it that is under way. Only for what was remembered: hints about nobody change nothing.
    if (keys.length > 0) this.#revision += 1;
    this.#doubts.delete(sessionId);
    this.#doubts.set(sessionId, this.#clock.monotonic());
    if (this.#doubts.size > MOST_DOUBTS) {
      const [oldest] = this.#doubts.keys();
      if (oldest !== undefined) this.#doubts.delete(oldest);
    }
  }

  /** Drops everything about sessions for which `concerned` says so. */
  forgetWhere(concerned: (facts: Facts) => boolean): void {
    this.#revision += 1;
    for (const [key, entry] of this.#entries) {
      if (concerned(entry.facts)) this.#drop(key);
    }
  }

  /** A change stream is open: from now on it reports every change. */
  streamOpened(): void {
    this.#generation += 1;
    this.#lastHeard = this.#clock.monotonic();
  }

  /** It said something. */
  streamHeard(): void {
    // A voice after too long a silence does not make the silence undone.
    if (this.#liveStream() === undefined) this.#generation += 1;
    this.#lastHeard = this.#clock.monotonic();
  }

  /** It is gone; what it watched over is now kept for ten seconds at most, for ever. */
  streamLost(): void {
    this.#generation += 1;
    this.#lastHeard = undefined;
  }

  /** Whether changes are being reported. */
  isLive(): boolean {
    return this.#liveStream() !== undefined;
  }

  /** Whether the engine was listened to in vain, or no longer answers: not merely not yet heard. */
  isDeaf(): boolean {
    return this.#generation > 0 && !this.isLive();
  }

  /** How many passes are remembered. */
  get size(): number {
    return this.#entries.size;
  }

  /** Joins the flight of the same question, or starts it. Nobody joins a question asked before the latest change. */
  fly(question: string, ask: () => Promise<Landed>): Promise<Landed> {
    const name = `${question}.${this.#revision}`;
    const underWay = this.#flights.get(name);
    if (underWay) return underWay;
    const flight = ask().finally(() => this.#flights.delete(name));
    this.#flights.set(name, flight);
    return flight;
  }

  #drop(key: string): void {
    const sessionId = this.#entries.get(key)?.facts.sessionId;
    this.#entries.delete(key);
    if (sessionId === undefined) return;
    const ofSession = this.#sessions.get(sessionId);
    ofSession?.delete(key);
    if (ofSession?.size === 0) this.#sessions.delete(sessionId);
  }

  #used(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry) {
      this.#entries.delete(key);
      this.#entries.set(key, entry);
    }
    return entry;
  }

  #age(entry: Entry): number {
    return this.#clock.monotonic() - entry.learnedAt;
  }

  /** The generation of the stream, if it is live. */
  #liveStream(): number | undefined {
    if (this.#lastHeard === undefined) return undefined;
    return this.#clock.monotonic() - this.#lastHeard < SILENCE_MILLISECONDS ? this.#generation : undefined;
  }
}
