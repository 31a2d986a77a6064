// `GET /.sso/start` (protocol §8 number 1): begins a handoff for whoever has no pass here yet.

import { identify, MOST_PASSES, passExpiry, recognise, unavailable } from "../admit.js";
import { presented } from "../cookies.js";
import { isAway } from "../engine.js";
import type { Setup } from "../options.js";
import * as pages from "../pages.js";
import type { Asked } from "../request.js";
import { type Visit, localDestination } from "../visit.js";
import { begin } from "./begin.js";
import { chainUrl } from "./chain.js";
import { Query } from "./query.js";
import { type Intent, comingBackTo } from "./transaction.js";

/** Answers a navigation. */
export async function start(setup: Setup, visit: Visit, asked: Asked): Promise<pages.Answer> {
  const { headers } = asked;
  const intent = readIntent(new Query(asked));
  // Sent by the engine, which knows that this browser needs a pass.
  if (intent.app !== undefined) return begin(setup, headers, intent, "missing");
  const { count, passes } = presented(headers, setup.passCookie);
  if (count === 0) return begin(setup, headers, intent, "missing");
  const who = count > MOST_PASSES ? ({ kind: "conflict" } as const) : await identify(setup, passes, undefined, false);
  const onward = intent.chain === undefined ? intent.r : chainUrl(setup, "/handoff/next", intent.chain);
  // A code could not be redeemed either; in a chain the other zones are not held up.
  if (isAway(who)) return intent.chain === undefined ? unavailable(visit, who) : pages.redirect(onward);
  if (who.kind === "conflict") return pages.withCookies(begin(setup, headers, intent, "conflict"), passExpiry(setup, intent.r.split("?", 1)[0] ?? "/"));
  if (who.kind === "nobody") return begin(setup, headers, intent, "refused");
  // Another person than this browser's last one is not accepted there, and would be sent back here for ever.
  const { accepted } = recognise(setup, headers, who.known.facts);
  return accepted ? pages.redirect(onward) : begin(setup, headers, intent, "unrecognised");
}

/** Exactly one of the three ways to ask; whatever else is said leads to the front page. */
function readIntent(query: Query): Intent {
  const front = comingBackTo("/");
  const given = ["r", "chain", "app"].filter((name) => query.has(name));
  if (given.length !== 1) return front;
  const [app, returnTo] = [query.one("app"), query.one("return_to")];
  if (given[0] === "app") return app !== undefined && returnTo !== undefined ? { ...front, app, returnTo } : front;
  if (given[0] === "chain") return { ...front, chain: query.chain() };
  // That rule has a limit of its own, beyond which the path is kept.
  return { ...front, r: localDestination(query.one("r", Infinity) ?? "") };
}
