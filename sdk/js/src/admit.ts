// Who may pass: from the cookies of a request to a caller, an anonymous visitor, or an answer that ends it here. The whole policy
// of protocol §2 (several passes, subject switch, first contact), §4 and §6, in order.

import { refreshUrl, signInUrl } from "./addresses.js";
import { begin } from "./agent/begin.js";
import { discover } from "./agent/discovery.js";
import { comingBackTo } from "./agent/transaction.js";
import { BOUNCE_COOKIE, nextBounce, readBounces } from "./bounce.js";
import { Caller, type Facts } from "./caller.js";
import { type Presented, expiry, isRelayable, presented } from "./cookies.js";
import type { PresentedToken } from "./csrf.js";
import { type Away, isAway } from "./engine.js";
import type { Known, Landed } from "./memory.js";
import type { Setup } from "./options.js";
import { cookieDomains } from "./origin.js";
import * as pages from "./pages.js";
import type { Asked, HeaderLines } from "./request.js";
import { fingerprint } from "./sealer.js";
import { type Seen, readSeen, seenCookie, seenExpiry, seenOf, switchQuestion } from "./seen.js";
import { type Visit, isPlainPath } from "./visit.js";
import type { CsrfCheck } from "./wire.js";

/** More cookies of the pass's name than this are an attack. */
export const MOST_PASSES = 3;
/** From this age on the engine sends a fresh pass along (protocol §15). */
const RENEWED_AFTER_SECONDS = 5 * 60;

/** Somebody who may pass (no caller: an anonymous visitor) and the cookies that go back with the answer; or the answer. */
export type Decision =
  | { readonly kind: "admitted"; readonly caller: Caller | undefined; readonly cookies: readonly string[] }
  | { readonly kind: "answer"; readonly answer: pages.Answer };

/** Decides about one request whose origin has been checked already. */
export async function admit(setup: Setup, visit: Visit, asked: Asked, token: PresentedToken): Promise<Decision> {
  const { headers } = asked;
  const optional = isPlainPath(visit.path) && setup.optional(visit.path);
  const anonymous = (cookies: readonly string[] = []): Decision => ({ kind: "admitted", caller: undefined, cookies });
  const passes = presented(headers, setup.passCookie);
  if (passes.variants > 0) {
    const { variants } = passes;
    setup.log("warn", "dropped cookies whose name differs from the pass's only in case", { variants });
  }
  const tooMany = tooManyPasses(setup, visit, passes);
  if (tooMany) return ended(tooMany);
  if (passes.count === 0) {
    if (!optional) return ended(toEngine(setup, visit, headers, "missing", []));
    const discovery = discover(setup, visit, asked);
    return discovery ? ended(discovery) : anonymous();
  }
  if (token.kind === "malformed") return ended(pages.refuse(pages.CSRF_FAILED, visit.page));
  const check = token.kind === "token" ? { token: token.token, method: asked.method } : undefined;
  const who = await identify(setup, passes.passes, check, visit.mayChange);
  if (isAway(who)) return ended(unavailable(visit, who));
  if (who.kind === "nobody") {
    return optional ? anonymous() : ended(toEngine(setup, visit, headers, "refused", []));
  }
  if (who.kind === "conflict") {
    setup.log("warn", "pass conflict: passes of different sessions in one request", { path: visit.path });
    const expired = passExpiry(setup, visit.path);
    if (optional && !travels(setup, visit)) return anonymous(expired);
    return ended(toEngine(setup, visit, headers, "conflict", expired));
  }
  const { known } = who;
  const recognised = recognise(setup, headers, known.facts);
  if (!recognised.accepted) {
    if (optional) return anonymous();
    // The home session says who is here: nobody has to be asked what can be looked up.
    if (setup.agent && visit.window) return ended(begin(setup, headers, comingBackTo(visit.destination), "unrecognised"));
    return ended(ask(setup, visit, known.facts, recognised.before));
  }
  if (known.csrfFailed || (visit.mayChange && setup.csrf === "token" && !check)) {
    setup.log("warn", "CSRF token missing or not valid", { path: visit.path, userId: known.facts.userId });
    return ended(pages.refuse(pages.CSRF_FAILED, visit.page));
  }
  const cookies = [...recognised.cookies, ...relayed(setup, known.setCookie)];
  if (readBounces(headers, setup.clock.unixSeconds()).inAll > 0) cookies.push(...expiry(BOUNCE_COOKIE, "/", []));
  return { kind: "admitted", caller: new Caller(known.facts), cookies };
}

/** Whether this request may be answered with a way to the engine. A handoff needs a window that somebody looks at. */
export function travels(setup: Setup, visit: Visit): boolean {
  return setup.agent ? visit.window : visit.navigation;
}

/** The answer to more passes than are asked about. */
function tooManyPasses(setup: Setup, visit: Visit, passes: Presented): pages.Answer | undefined {
  if (passes.count <= MOST_PASSES) return undefined;
  setup.log("warn", "more passes than any honest browser sends", { count: passes.count });
  return pages.withCookies(pages.refuse(pages.TOO_MANY_COOKIES, visit.page), passExpiry(setup, visit.path));
}

/** Whom the passes stand for: no live session, several at once, or one. */
export type Who =
  | { readonly kind: "nobody" }
  | { readonly kind: "conflict" }
  | { readonly kind: "somebody"; readonly known: Known };

/** Asks memory, else the engine, about all passes in one call. */
export async function identify(
  setup: Setup,
  passes: readonly string[],
  check: CsrfCheck | undefined,
  mayChange: boolean,
): Promise<Who | Away> {
  if (passes.length === 0) return { kind: "nobody" };
  const keys = passes.map((pass) => setup.memory.key(pass));
  const remembered = (recall: (key: string) => Facts | undefined): Known[] | undefined => {
    const known = keys.map(recall).flatMap((facts) => (facts ? [{ facts, setCookie: undefined, csrfFailed: false }] : []));
    return known.length === keys.length ? known : undefined;
  };
  // A token is judged for this request alone: such a question is always asked.
  const fresh = check ? undefined : remembered((key) => setup.memory.fresh(key));
  if (fresh) return decide(fresh);
  const landed = await askEngine(setup, passes, keys, check);
  if (!isAway(landed)) return decide(landed);
  if (landed.away !== "unreachable" || check || mayChange) return landed;
  const inGrace = remembered((key) => setup.memory.withinGrace(key, setup.grace));
  if (!inGrace) return landed;
  setup.log("warn", "the engine is away: answering from memory, within the declared grace", {});
  return decide(inGrace);
}

/** Several passes of one session are that session, by the newest; of different sessions, a conflict. */
export function decide(known: ReadonlyArray<Known | undefined>): Who {
  let decided: Known | undefined;
  for (const candidate of known) {
    if (!candidate) continue;
    if (decided && decided.facts.sessionId !== candidate.facts.sessionId) return { kind: "conflict" };
    if (!decided || candidate.facts.issuedAt > decided.facts.issuedAt) decided = candidate;
  }
  return decided ? { kind: "somebody", known: decided } : { kind: "nobody" };
}

/** Whether this person may be accepted in this browser without a question; `before` is who was accepted last, if anybody. */
export type Recognition =
  | { readonly accepted: true; readonly cookies: readonly string[] }
  | { readonly accepted: false; readonly before: Seen | undefined };

/** The subject-switch rule. Its point is another person: a new session of the same one is accepted in silence. */
export function recognise(setup: Setup, headers: HeaderLines, facts: Facts): Recognition {
  const last = readSeen(headers, setup.sealer);
  if (!last.somebody) {
    if (setup.firstContact === "confirm") return { accepted: false, before: undefined };
    return { accepted: true, cookies: remember(setup, facts, last.cleanUp) };
  }
  const { sid, sub, username } = last.somebody;
  if (sub !== facts.userId) return { accepted: false, before: last.somebody };
  const upToDate = !last.byPrevious && sid === facts.sessionId && username === facts.username;
  return { accepted: true, cookies: upToDate ? [] : remember(setup, facts, false) };
}

/** The cookie that remembers who was accepted. With `cleanUp`, whatever else has its name is removed first. */
export function remember(setup: Setup, facts: Facts, cleanUp: boolean): string[] {
  const removed = cleanUp ? seenExpiry(cookieDomains(setup.origin)) : [];
  return [...removed, seenCookie(seenOf(facts), setup.sealer)];
}

/** The page that names both people; for what cannot show it, 409. */
export function ask(setup: Setup, visit: Visit, facts: Facts, before: Seen | undefined): pages.Answer {
  setup.log("info", "another person: asking", { userId: facts.userId, before: before?.sub });
  if (!visit.page) return pages.refuse(before ? pages.SUBJECT_SWITCH : pages.CONFIRMATION_REQUIRED, false);
  return pages.askForPerson({
    now: facts.username,
    before: before?.username,
    token: switchQuestion(facts, setup.clock.unixSeconds(), setup.sealer),
    destination: visit.destination,
    refreshUrl: refreshUrl(setup, visit.destination),
    engine: setup.engine.public.text,
  });
}

/** The fresh pass that came with the answer, to be relayed to the browser. */
export function relayed(setup: Setup, setCookie: string | undefined): string[] {
  if (setCookie === undefined) return [];
  if (isRelayable(setCookie, setup.passCookie, setup.bound)) return [setCookie];
  setup.log("error", "the engine asked to relay a cookie that is not the pass; is the pass's name the same there?", {});
  return [];
}

/** Removes every pass that this request could have carried. */
export function passExpiry(setup: Setup, path: string): string[] {
  // No browser keeps a `__Host-` cookie for another path, nor with a domain.
  return setup.bound ? expiry(setup.passCookie, "/", []) : expiry(setup.passCookie, path, cookieDomains(setup.origin));
}

/** 503, and when to come back. */
export function unavailable(visit: Visit, away: Away): pages.Answer {
  return pages.unavailable(visit.page, retryAfter(away));
}

/** In how many seconds it may be otherwise, if that is known. */
export function retryAfter(away: Away): number | undefined {
  return away.away === "misconfigured" ? 60 : away.retryAfterSeconds;
}

function ended(answer: pages.Answer): Decision {
  return { kind: "answer", answer };
}

function askEngine(
  setup: Setup,
  passes: readonly string[],
  keys: readonly string[],
  csrf: CsrfCheck | undefined,
): Promise<Landed> {
  const { engine, memory } = setup;
  // An empty part separates: no pass is empty.
  const flight = fingerprint([setup.appKey, ...passes, ...(csrf ? ["", csrf.token, csrf.method] : [])]);
  const start = memory.startingPoint();
  const asking = async (): Promise<Landed> => {
    const [first, ...others] = keys;
    const held = first !== undefined && others.length === 0 ? memory.lastKnown(first) : undefined;
    // Not for a pass that may be renewed, nor beside a token to be judged: `unchanged` need not say either.
    const mayCompare = held && !csrf && setup.clock.unixSeconds() < held.issuedAt + RENEWED_AFTER_SECONDS;
    const answers = await engine.introspect({ passes, csrf, ifVersion: mayCompare ? held.version : undefined });
    if (isAway(answers)) return answers;
    const known: (Known | undefined)[] = [];
    for (const [index, key] of keys.entries()) {
      const answer = answers[index];
      if (!answer?.active) {
        memory.forget(key);
        known.push(undefined);
        continue;
      }
      // `unchanged` is accepted only where a version was named, and then it was this one's.
      const facts = answer.facts ?? held;
      if (!facts) return { away: "misconfigured" };
      memory.keep(key, facts, answer.cacheForSeconds, start);
      known.push({ facts, setCookie: answer.setCookie, csrfFailed: answer.csrfFailed });
    }
    return known;
  };
  return memory.fly(flight, asking);
}

/** Sends a navigation to the engine, unless that has been tried often enough; answers anything else with 401. */
function toEngine(
  setup: Setup,
  visit: Visit,
  headers: HeaderLines,
  cause: pages.LoopCause,
  cookies: readonly string[],
): pages.Answer {
  const url = cause === "missing" ? signInUrl(setup, visit.destination) : refreshUrl(setup, visit.destination);
  if (!travels(setup, visit)) {
    // A form: its answer fills the window, but what was typed cannot be carried along. Say so, and lead back by one click.
    const answer = visit.page && !visit.navigation
      ? pages.signInFirst(url)
      : pages.loginRequired(signInUrl(setup, visit.destination), setup.appKey);
    return pages.withCookies(answer, cookies);
  }
  if (setup.agent) {
    return pages.withCookies(begin(setup, headers, comingBackTo(visit.destination), cause), cookies);
  }
  const now = setup.clock.unixSeconds();
  const counted = nextBounce(readBounces(headers, now), visit.destination, now);
  if (counted === undefined) {
    setup.log("warn", "this browser keeps being sent to the engine and back", { cause });
    return pages.withCookies(pages.stuck(cause, visit.destination), cookies);
  }
  return pages.withCookies(pages.redirect(url), [...cookies, counted]);
}
