// The loop guard: a short-lived cookie that counts how often this browser was sent to the engine. Someone whose cookies do not
// arrive must see why instead of flickering between two hosts (protocol §6).

import { cookieValues, hostOnly } from "./cookies.js";
import type { HeaderLines } from "./request.js";
import { fingerprint } from "./sealer.js";

/** The counter's name. Host-only, so a sibling cannot write it. */
export const BOUNCE_COOKIE = "__Host-Http-hallpass-bounce";

const WINDOW_SECONDS = 30;
/** Redirects for one destination within the window. */
const MOST_FOR_ONE = 3;
/** Redirects within the window in all: a restored window with many tabs sends each of them once. */
const MOST_IN_ALL = 24;

/** How often this browser was sent away lately. */
export interface Bounces {
  readonly since: number;
  readonly inAll: number;
  readonly forOne: number;
  readonly destination: string;
}

const NONE: Bounces = { since: 0, inAll: 0, forOne: 0, destination: "" };

/** Reads the counter. Malformed, doubled or too old counts as none: losing it must be harmless. */
export function readBounces(headers: HeaderLines, now: number): Bounces {
  const [value, ...others] = cookieValues(headers, BOUNCE_COOKIE);
  const parts = others.length === 0 ? /^(\d{1,12})\.(\d{1,9})\.(\d{1,9})\.([0-9a-f]{8})$/.exec(value ?? "") : null;
  const [, since, inAll, forOne, destination] = parts ?? [];
  if (since === undefined || inAll === undefined || forOne === undefined || destination === undefined) return NONE;
  const age = now - Number(since);
  if (age < 0 || age >= WINDOW_SECONDS) return NONE;
  return { since: Number(since), inAll: Number(inAll), forOne: Number(forOne), destination };
}

/** Counts one more redirect for `destination` and gives the cookie to send along; undefined if it is one too many. */
export function nextBounce(bounces: Bounces, destination: string, now: number): string | undefined {
  const hash = fingerprint([destination]).slice(0, 8);
  const forOne = bounces.destination === hash ? bounces.forOne + 1 : 1;
  const inAll = bounces.inAll + 1;
  if (forOne > MOST_FOR_ONE || inAll > MOST_IN_ALL) return undefined;
  const since = bounces.inAll > 0 ? bounces.since : now;
  return hostOnly(BOUNCE_COOKIE, `${since}.${inAll}.${forOne}.${hash}`, WINDOW_SECONDS);
}
