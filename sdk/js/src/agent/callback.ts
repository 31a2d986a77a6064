// `GET /.sso/callback` (protocol §8 numbers 3 to 5): what the engine says about whoever began a handoff in this browser. Without a
// transaction of this browser's nothing is set and nothing is asked: somebody else's link signs nobody in.

import { homeSignInUrl, redirectUri } from "../addresses.js";
import { identify, MOST_PASSES, relayed, remember, retryAfter } from "../admit.js";
import { expiry, presented } from "../cookies.js";
import { type Away, type Refused, isAway } from "../engine.js";
import type { Setup } from "../options.js";
import { cookieDomains } from "../origin.js";
import * as pages from "../pages.js";
import type { Asked, HeaderLines } from "../request.js";
import { readSeen } from "../seen.js";
import type { Visit } from "../visit.js";
import type { Redeemed } from "../wire.js";
import { chainUrl } from "./chain.js";
import { NOBODY_COOKIE, nobodyCookie, saidNobody } from "./discovery.js";
import { handoffRefused, handoffUnavailable } from "./pages.js";
import { Query } from "./query.js";
import { type Transaction, findTransaction } from "./transaction.js";

/** Longer than any code. */
const CODE = /^[!-~]{1,512}$/;

/** Answers a navigation. */
export async function callback(setup: Setup, visit: Visit, asked: Asked): Promise<pages.Answer> {
  const { headers } = asked;
  const query = new Query(asked);
  const now = setup.clock.unixSeconds();
  const found = findTransaction(headers, query.one("state"), setup.sealer, now, cookieDomains(setup.origin));
  const { transaction } = found;
  const answer = transaction
    ? await finish(setup, visit, headers, transaction, query)
    : await withoutTransaction(setup, visit, headers);
  return pages.withCookies(answer, found.expiry);
}

/** The back button, or a second tab, for who is signed in; a stranger's link for everybody else. */
async function withoutTransaction(setup: Setup, visit: Visit, headers: HeaderLines): Promise<pages.Answer> {
  const { count, passes } = presented(headers, setup.passCookie);
  const who = count <= MOST_PASSES ? await identify(setup, passes, undefined, false) : undefined;
  if (who && !isAway(who) && who.kind === "somebody") return pages.redirect("/");
  setup.log("info", "handoff refused: no transaction of this browser", {});
  return handoffRefused(visit.page);
}

async function finish(
  setup: Setup,
  visit: Visit,
  headers: HeaderLines,
  transaction: Transaction,
  query: Query,
): Promise<pages.Answer> {
  // Another issuer's answer (RFC 9207): a code of its would be shown to ours.
  if (query.one("iss") !== setup.engine.public.text) {
    setup.log("warn", "handoff refused: answered by another issuer", {});
    return handoffRefused(visit.page);
  }
  const redeemed = await redeem(setup, transaction, query);
  if (!("setCookie" in redeemed)) return failed(setup, visit, transaction, redeemed);
  const pass = relayed(setup, redeemed.setCookie);
  // Without it they would be sent round in circles and then be told that their cookies are blocked.
  if (pass.length === 0) return failed(setup, visit, transaction, { away: "misconfigured" });
  const { facts } = redeemed;
  setup.log("info", "handed over", { userId: facts?.userId, sessionId: facts?.sessionId });
  const cookies = [...pass];
  if (facts) {
    const last = readSeen(headers, setup.sealer);
    // Without a question: home has just shown who it is, and no sibling can have a word in that.
    cookies.push(...remember(setup, facts, last.somebody === undefined && last.cleanUp));
  }
  if (saidNobody(headers)) cookies.push(...expiry(NOBODY_COOKIE, "/", []));
  return pages.withCookies(pages.redirect(destination(setup, transaction, redeemed.returnTo)), cookies);
}

/** Why nobody is here yet. */
type Failure = Refused | Away | { readonly nobody: true };

async function redeem(setup: Setup, transaction: Transaction, query: Query): Promise<Redeemed | Failure> {
  const [code, error] = [query.one("code"), query.one("error")];
  if (query.has("error")) {
    if (error === "login_required" && !query.has("code")) return { nobody: true };
    setup.log("warn", "the engine gave no code", {});
    return { away: "unreachable" };
  }
  if (code === undefined || !CODE.test(code)) return { refused: true };
  return setup.engine.redeem(code, redirectUri(setup), transaction.verifier);
}

function failed(setup: Setup, visit: Visit, transaction: Transaction, failure: Failure): pages.Answer {
  const { r, chain, app, returnTo, silent } = transaction;
  // The chain is the engine's: it goes on to the other zones, and this one is tried again on demand.
  if (chain !== undefined) return pages.redirect(chainUrl(setup, "/handoff/next", chain));
  // Whoever came to an open page gets it, whatever went wrong with a look that they did not ask for.
  if (silent) return pages.withCookies(pages.redirect(r), [nobodyCookie()]);
  if ("nobody" in failure) {
    if (app === undefined || returnTo === undefined) return pages.redirect(homeSignInUrl(setup, r));
    const query = new URLSearchParams({ app, return_to: returnTo });
    return pages.redirect(`${setup.engine.public.text}/sign-in?${query.toString()}`);
  }
  if (isAway(failure)) return handoffUnavailable(visit.page, r, retryAfter(failure));
  setup.log("warn", "handoff refused: the engine does not accept the code", {});
  return handoffRefused(visit.page);
}

/** `returnTo` was checked by the engine, which knows every app of the zone. */
function destination(setup: Setup, transaction: Transaction, returnTo: string | undefined): string {
  if (transaction.chain !== undefined) return chainUrl(setup, "/handoff/next", transaction.chain);
  if (returnTo === undefined || !URL.canParse(returnTo)) return transaction.r;
  const { protocol, href } = new URL(returnTo);
  return protocol === "https:" || protocol === "http:" ? href : transaction.r;
}
