// The subject-switch rule (protocol §2): each browser carries, sealed and host-only, who this app last accepted. A sibling can
// overwrite the pass but cannot forge this cookie, so another person is never accepted in silence.

import type { Facts } from "./caller.js";
import { cookieValues, expiry, hostOnly } from "./cookies.js";
import type { HeaderLines } from "./request.js";
import { type Opened, type Sealer, open, seal } from "./sealer.js";

/** The cookie's name. */
export const SEEN_COOKIE = "__Host-Http-hallpass-seen";

/** Browsers keep no cookie longer than 400 days. */
const MAX_AGE_SECONDS = 400 * 24 * 3600;
/** How long a page that asks may stay open before its answer no longer counts. */
const SWITCH_SECONDS = 600;

/** Who was last accepted in this browser. */
export interface Seen {
  readonly sid: string;
  /** The user's identifier. */
  readonly sub: string;
  /** What the page calls them. */
  readonly username: string;
}

/** What the cookie says: somebody, or nobody; `cleanUp` if something of its name is there and is to be expired. */
export type LastSeen =
  | { readonly somebody: Seen; readonly byPrevious: boolean }
  | { readonly somebody: undefined; readonly cleanUp: boolean };

/** Reads the cookie. Two of them (a browser that lets siblings set `__Host-` cookies) count as none. */
export function readSeen(headers: HeaderLines, sealer: Sealer): LastSeen {
  const [value, ...others] = cookieValues(headers, SEEN_COOKIE);
  if (value === undefined) return { somebody: undefined, cleanUp: false };
  const opened = others.length === 0 ? open(sealer, value, "seen") : undefined;
  const read = opened && members(opened);
  if (!opened || typeof read?.sid !== "string" || typeof read.sub !== "string" || typeof read.username !== "string") {
    return { somebody: undefined, cleanUp: true };
  }
  return { somebody: { sid: read.sid, sub: read.sub, username: read.username }, byPrevious: opened.byPrevious };
}

/** What will be sealed for `facts`. */
export function seenOf(facts: Facts): Seen {
  return { sid: facts.sessionId, sub: facts.userId, username: facts.username };
}

/** The cookie to set. */
export function seenCookie(seen: Seen, sealer: Sealer): string {
  return hostOnly(SEEN_COOKIE, seal(sealer, JSON.stringify(seen), "seen"), MAX_AGE_SECONDS);
}

/** Removes the cookie, also where only a misbehaving browser could have put it. */
export function seenExpiry(domains: readonly string[]): string[] {
  return expiry(SEEN_COOKIE, "/", domains);
}

/**
 * What the page that asks sends back with the click: the person it named, and when. Sealed, so that the click accepts
 * that person only, even if the pass was exchanged while the page was open.
 */
export function switchQuestion(facts: Facts, now: number, sealer: Sealer): string {
  return seal(sealer, JSON.stringify({ sub: facts.userId, asked_at: now }), "switch");
}

/** Whether `answer` is the click of a page that named the person of `facts`. */
export function confirms(answer: string, facts: Facts, now: number, sealer: Sealer): boolean {
  const opened = open(sealer, answer, "switch");
  const question = opened && members(opened);
  if (!question || question.sub !== facts.userId || typeof question.asked_at !== "number") return false;
  const age = now - question.asked_at;
  return age >= 0 && age < SWITCH_SECONDS;
}

/** What we sealed ourselves; of another version of ours it may hold anything. */
function members(opened: Opened): Record<"sid" | "sub" | "username" | "asked_at", unknown> | undefined {
  try {
    return JSON.parse(opened.plaintext.toString("utf8")) ?? undefined;
  } catch {
    return undefined;
  }
}
