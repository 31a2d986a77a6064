// Silent discovery (protocol §8, "on demand"): an anonymous visitor of an open page may be signed in at home. Asked once in ten minutes, and
// of nobody who would not come back: a crawler would take the redirect for the page.

import { cookieValues, hostOnly } from "../cookies.js";
import type { Setup } from "../options.js";
import type { Answer } from "../pages.js";
import { type Asked, type HeaderLines, pathAndQuery, valuesOf } from "../request.js";
import type { Visit } from "../visit.js";
import { tryToBegin } from "./begin.js";
import { comingBackTo } from "./transaction.js";

/** Remembers that nobody is signed in at home. */
export const NOBODY_COOKIE = "__Host-Http-hallpass-nobody";

const NOBODY_SECONDS = 600;
const NO_PERSONS = ["bot", "crawl", "spider", "slurp", "preview", "facebookexternalhit", "headless", "curl", "wget", "python"];

/** Begins a handoff that nobody sees, if one is due; undefined where the visitor is served as they are. */
export function discover(setup: Setup, visit: Visit, asked: Asked): Answer | undefined {
  const { headers } = asked;
  const due = setup.discover && visit.window && valuesOf(headers, "sec-fetch-mode").length > 0;
  if (!due || saidNobody(headers) || isMachine(headers)) return undefined;
  // Open pages need no engine: one that is away must not take them along.
  if (setup.memory.isDeaf()) return undefined;
  // Whoever stays anonymous must come back to the very page they asked for.
  if (visit.destination !== pathAndQuery(asked.target)) return undefined;
  return tryToBegin(setup, headers, { ...comingBackTo(visit.destination), silent: true });
}

/** Whether the engine said lately that nobody is signed in. */
export function saidNobody(headers: HeaderLines): boolean {
  return cookieValues(headers, NOBODY_COOKIE).length > 0;
}

/** Remembers it. */
export function nobodyCookie(): string {
  return hostOnly(NOBODY_COOKIE, "1", NOBODY_SECONDS);
}

function isMachine(headers: HeaderLines): boolean {
  const agent = valuesOf(headers, "user-agent").join(" ").toLowerCase();
  return NO_PERSONS.some((word) => agent.includes(word));
}
