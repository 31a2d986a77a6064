// Beginning a handoff (protocol §8 numbers 1 and 2): from whatever led here to the engine's question who is signed in.

import { redirectUri } from "../addresses.js";
import { nextBounce, readBounces } from "../bounce.js";
import type { Setup } from "../options.js";
import * as pages from "../pages.js";
import type { HeaderLines } from "../request.js";
import { type Intent, challenge, comingBackTo, transact, transactionCookies } from "./transaction.js";

/** Sends a navigation to the engine; undefined if this browser has been sent there too often. */
export function tryToBegin(setup: Setup, headers: HeaderLines, intent: Intent): pages.Answer | undefined {
  const now = setup.clock.unixSeconds();
  // A chain is counted by the engine, which leads it.
  const counted = intent.chain === undefined ? nextBounce(readBounces(headers, now), intent.returnTo ?? intent.r, now) : "";
  if (counted === undefined) return undefined;
  const { transaction, cookies } = kept(setup, headers, intent, now);
  const query = new URLSearchParams({
    client_id: setup.appKey,
    redirect_uri: redirectUri(setup),
    state: transaction.state,
    code_challenge: challenge(transaction.verifier),
    code_challenge_method: "S256",
    prompt: "none",
  });
  if (transaction.app !== undefined && transaction.returnTo !== undefined) {
    query.set("app", transaction.app);
    query.set("return_to", transaction.returnTo);
  }
  const answer = pages.redirect(`${setup.engine.public.text}/handoff/authorize?${query.toString()}`);
  return pages.withCookies(answer, counted === "" ? cookies : [...cookies, counted]);
}

/** The same; one time too many shows the page that says why. */
export function begin(setup: Setup, headers: HeaderLines, intent: Intent, cause: pages.LoopCause): pages.Answer {
  const begun = tryToBegin(setup, headers, intent);
  if (begun) return begun;
  setup.log("warn", "this browser keeps being sent to the engine and back", { cause });
  return pages.stuck(cause, intent.r);
}

/** A transaction that a browser keeps: what is too long for a cookie would be dropped silently and end in a refusal. */
function kept(setup: Setup, headers: HeaderLines, intent: Intent, now: number): Kept {
  for (const fitting of [intent, comingBackTo("/")]) {
    const transaction = transact(fitting, now);
    const cookies = transactionCookies(headers, transaction, setup.sealer);
    if (cookies) return { transaction, cookies };
  }
  throw new Error("the way to the front page fits into a cookie");
}

interface Kept {
  readonly transaction: ReturnType<typeof transact>;
  readonly cookies: readonly string[];
}
