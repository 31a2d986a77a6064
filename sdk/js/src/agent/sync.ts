// `GET /.sso/sync` (protocol §9 number 5): a step of the walk after signing out, in which this zone looks whether its own cookies still mean
// anything. Forging it is harmless: it does what the engine says, not what the address says.

import { MOST_PASSES, passExpiry } from "../admit.js";
import { presented } from "../cookies.js";
import { isAway } from "../engine.js";
import type { Setup } from "../options.js";
import { cookieDomains } from "../origin.js";
import * as pages from "../pages.js";
import type { Asked } from "../request.js";
import { seenExpiry } from "../seen.js";
import { chainUrl } from "./chain.js";
import { Query } from "./query.js";

/** Answers a navigation. */
export async function sync(setup: Setup, asked: Asked): Promise<pages.Answer> {
  const chain = new Query(asked).chain();
  const next = pages.redirect(chain === undefined ? "/" : chainUrl(setup, "/sign-out/next", chain));
  return pages.withCookies(next, await leftovers(setup, asked));
}

/** Removes the passes of nobody. Cookies of one name cannot be removed one by one: beside a live one the dead are passed over. */
async function leftovers(setup: Setup, asked: Asked): Promise<string[]> {
  const { count, passes } = presented(asked.headers, setup.passCookie);
  if (count === 0) return [];
  if (count > MOST_PASSES) return passExpiry(setup, "/");
  // Not from memory, which may not have heard yet.
  const answers = passes.length === 0 ? [] : await setup.engine.introspect({ passes });
  if (isAway(answers)) return [];
  for (const [index, pass] of passes.entries()) {
    if (!answers[index]?.active) setup.memory.forget(setup.memory.key(pass));
  }
  if (answers.some((answer) => answer.active)) return [];
  return [...passExpiry(setup, "/"), ...seenExpiry(cookieDomains(setup.origin))];
}
