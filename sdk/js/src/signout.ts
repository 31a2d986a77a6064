// Signing out (protocol §9): ends the session everywhere and removes its traces here. If the engine does not hear of it now, it is told
// later.

import { signOutUrl } from "./addresses.js";
import { decide, identify, passExpiry, unavailable } from "./admit.js";
import { presented } from "./cookies.js";
import { type Away, isAway } from "./engine.js";
import type { Setup } from "./options.js";
import { cookieDomains } from "./origin.js";
import * as pages from "./pages.js";
import type { Asked } from "./request.js";
import { fingerprint } from "./sealer.js";
import { seenExpiry } from "./seen.js";
import type { Visit } from "./visit.js";

/** Answers the form. Without a session to end, the engine's page asks, since a session may be alive at home. */
export async function signOut(setup: Setup, visit: Visit, asked: Asked): Promise<pages.Answer> {
  const traces = [...passExpiry(setup, "/"), ...seenExpiry(cookieDomains(setup.origin))];
  const { passes } = presented(asked.headers, setup.passCookie);
  const who = await identify(setup, passes, undefined, true);
  if (isAway(who)) {
    setup.log("warn", "signed out here only: the engine cannot be asked whose session this is", {});
    tryLater(setup, passes);
    return pages.withCookies(hereOnly(setup, visit, who), traces);
  }
  if (who.kind !== "somebody") {
    const url = signOutUrl(setup);
    return pages.withCookies(visit.page ? pages.redirect(url) : pages.jsonAnswer({ sign_out_url: url }), traces);
  }
  const { sessionId, userId } = who.known.facts;
  const ended = await end(setup, sessionId, userId);
  if (isAway(ended)) {
    setup.log("warn", "signed out here only: the engine does not know yet", { sessionId });
    endLater(setup, sessionId, userId);
    return pages.withCookies(hereOnly(setup, visit, ended), traces);
  }
  setup.log("info", "signed out", { sessionId });
  const { continueAt } = ended;
  const forPrograms = continueAt === undefined ? pages.done() : pages.jsonAnswer({ signed_out: true, continue_at: continueAt });
  const answer = visit.page ? pages.redirect(setup.afterSignOut ?? continueAt ?? "/") : forPrograms;
  return pages.withCookies(answer, traces);
}

async function end(setup: Setup, sessionId: string, userId: string): Promise<{ readonly continueAt: string | undefined } | Away> {
  const ended = await setup.engine.signOut(sessionId, userId);
  if (!isAway(ended)) setup.memory.forgetWhere((remembered) => remembered.sessionId === sessionId);
  return ended;
}

function endLater(setup: Setup, sessionId: string, userId: string): void {
  setup.retries.add(sessionId, async () => !isAway(await end(setup, sessionId, userId)));
}

/**
 * Whose session it is was not said. What is remembered of the passes says it; else they are kept for as long as they can
 * tell. Their own claims are not read: nobody's word but the engine's ends a session.
 */
function tryLater(setup: Setup, passes: readonly string[]): void {
  if (passes.length === 0) return;
  const remembered = decide(
    passes.map((pass) => {
      const facts = setup.memory.lastKnown(setup.memory.key(pass));
      return facts && { facts, setCookie: undefined, csrfFailed: false };
    }),
  );
  if (remembered.kind === "somebody") {
    const { sessionId, userId } = remembered.known.facts;
    endLater(setup, sessionId, userId);
    return;
  }
  setup.retries.add(fingerprint(passes), async () => {
    const who = await identify(setup, passes, undefined, true);
    if (isAway(who)) return false;
    if (who.kind !== "somebody") return true;
    const { sessionId, userId } = who.known.facts;
    return !isAway(await end(setup, sessionId, userId));
  });
}

function hereOnly(setup: Setup, visit: Visit, away: Away): pages.Answer {
  return visit.page ? pages.signedOutHereOnly(signOutUrl(setup)) : unavailable(visit, away);
}
