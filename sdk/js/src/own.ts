// The SDK's own endpoints, both POST and same-origin: `/.hallpass/switch` (the click that names a person, protocol §2) and
// `/.hallpass/sign-out` (protocol §9).

import { ask, identify, recognise, relayed, remember, unavailable } from "./admit.js";
import { presented } from "./cookies.js";
import { fieldValues, LARGEST_FORM } from "./csrf.js";
import { isAway } from "./engine.js";
import type { Setup } from "./options.js";
import * as pages from "./pages.js";
import type { Asked } from "./request.js";
import { confirms } from "./seen.js";
import { signOut } from "./signout.js";
import { type Visit, localDestination, OWN_PATHS } from "./visit.js";

/** Answers a request to one of the SDK's own paths. */
export async function answerOwn(setup: Setup, visit: Visit, asked: Asked): Promise<pages.Answer> {
  const name = visit.path.slice(OWN_PATHS.length);
  if (name !== "switch" && name !== "sign-out") return pages.refuse(pages.NOT_FOUND, visit.page);
  if (asked.method !== "POST") {
    return pages.withHeader(pages.refuse(pages.METHOD_NOT_ALLOWED, visit.page), "Allow", "POST");
  }
  return name === "switch" ? switchPerson(setup, visit, asked) : signOut(setup, visit, asked);
}

/** Accepts the person whom the page named, if it is still the one signed in; else asks again. */
async function switchPerson(setup: Setup, asVisited: Visit, asked: Asked): Promise<pages.Answer> {
  const form = await asked.readForm(LARGEST_FORM);
  if (form === "too_large") return pages.refuse(pages.TOO_LARGE, asVisited.page);
  const [person, ...otherPersons] = fieldValues(form, "person");
  const [destination, ...otherDestinations] = fieldValues(form, "return_to");
  if (person === undefined || otherPersons.length > 0 || otherDestinations.length > 0) {
    return pages.refuse(pages.INVALID_FORM, asVisited.page);
  }
  const visit = { ...asVisited, destination: localDestination(destination ?? "") };
  const who = await identify(setup, presented(asked.headers, setup.passCookie).passes, undefined, true);
  if (isAway(who)) return unavailable(visit, who);
  // Nothing to confirm any more: the destination decides what comes next.
  if (who.kind !== "somebody") return pages.redirect(visit.destination);
  const { facts } = who.known;
  if (!confirms(person, facts, setup.clock.unixSeconds(), setup.sealer)) {
    const recognised = recognise(setup, asked.headers, facts);
    return recognised.accepted ? pages.redirect(visit.destination) : ask(setup, visit, facts, recognised.before);
  }
  setup.log("info", "confirmed by a click", { userId: facts.userId });
  const cookies = [...remember(setup, facts, false), ...relayed(setup, who.known.setCookie)];
  return pages.withCookies(pages.redirect(visit.destination), cookies);
}
