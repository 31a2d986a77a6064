// What happens to every request, in order (protocol §2, §4, §6, §7), and to its answer (§18). Adapters translate to and from it.

import { signInUrl } from "./addresses.js";
import { admit, travels } from "./admit.js";
import { answerAgent } from "./agent/answer.js";
import { backchannel } from "./agent/backchannel.js";
import { BACKCHANNEL_PATH, endpointAt } from "./agent/paths.js";
import { presentedToken } from "./csrf.js";
import type { Setup } from "./options.js";
import { isSameOrigin } from "./origin.js";
import { answerOwn } from "./own.js";
import * as pages from "./pages.js";
import { type Asked, isForgedIdentity } from "./request.js";
import { OWN_PATHS, readVisit, wantsPage } from "./visit.js";
import type { Visitor } from "./visitor.js";

/** Let through; {@link additions} says what goes along with the application's answer. */
export interface Admitted {
  readonly kind: "admitted";
  readonly visitor: Visitor;
  /** `Set-Cookie` lines. */
  readonly cookies: readonly string[];
}

/** What becomes of a request. */
export type Outcome = Admitted | { readonly kind: "answer"; readonly answer: pages.Answer };

/** Decides about one request. Never rejects: a fault of ours is 503, and nobody passes by it. */
export async function handle(setup: Setup, received: Asked): Promise<Outcome> {
  const asked = { ...received, headers: received.headers.filter(([name]) => !isForgedIdentity(name)) };
  const outcome = await decided(setup, asked).catch((error: unknown): Outcome => {
    setup.log("error", "a fault of the SDK or of what it was given; nobody passes", { fault: faultOf(error) });
    return { kind: "answer", answer: pages.unavailable(wantsPage(asked.headers)) };
  });
  if (outcome.kind === "admitted") return outcome;
  // Every answer depends on who asks.
  return { kind: "answer", answer: pages.withHeader(outcome.answer, "Vary", "Cookie") };
}

async function decided(setup: Setup, asked: Asked): Promise<Outcome> {
  const visit = readVisit(asked, setup.origin);
  const answered = (answer: pages.Answer): Outcome => ({ kind: "answer", answer });
  // Before the origin rule: it comes from the engine, not from a browser, and is refused where it does.
  if (setup.agent && visit.path === BACKCHANNEL_PATH) return answered(await backchannel(setup, asked));
  if (visit.mayChange && !isSameOrigin(asked.headers, setup.origin)) {
    const details = { method: asked.method, path: visit.path };
    setup.log("warn", "refused: sent by a page of another origin", details);
    return answered(pages.refuse(pages.CROSS_ORIGIN, visit.page));
  }
  const endpoint = setup.agent ? endpointAt(visit.path) : undefined;
  if (endpoint) return answered(await answerAgent(setup, endpoint, visit, asked));
  if (visit.path.startsWith(OWN_PATHS)) return answered(await answerOwn(setup, visit, asked));
  const token = visit.mayChange ? await presentedToken(asked) : ({ kind: "absent" } as const);
  if (token === "too_large") return answered(pages.refuse(pages.TOO_LARGE, visit.page));
  const decision = await admit(setup, visit, asked, token);
  if (decision.kind === "answer") return decision;
  const visitor: Visitor = {
    caller: decision.caller,
    signInUrl: signInUrl(setup, visit.destination),
    navigation: travels(setup, visit),
    page: visit.page,
    realm: setup.appKey,
  };
  return { kind: "admitted", visitor, cookies: decision.cookies };
}

/** What to do to the headers of the application's answer. */
export interface Additions {
  /** To be set where given. */
  readonly cacheControl: string | undefined;
  /** To be added where given. */
  readonly vary: string | undefined;
  readonly setCookies: readonly string[];
}

/**
 * What was made for one person is not kept for others; where the application says that it may be, no cookie goes along
 * with it.
 */
export function additions(admitted: Admitted, cacheControl: string | undefined, vary: string | undefined): Additions {
  const personal = admitted.visitor.caller !== undefined || admitted.cookies.length > 0;
  const added = personal && cacheControl === undefined ? "private, no-store" : undefined;
  const kept = lists(added ?? cacheControl, ["private", "no-store"]);
  return {
    cacheControl: added,
    vary: lists(vary, ["cookie", "*"]) ? undefined : "Cookie",
    setCookies: kept ? admitted.cookies : [],
  };
}

function lists(value: string | undefined, words: readonly string[]): boolean {
  return (value ?? "").split(",").some((word) => words.includes(word.trim().toLowerCase()));
}

/** The kind of fault and where, without its message, which might quote a secret. */
function faultOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  return `${error.name} ${error.stack?.split("\n").find((line) => line.trim().startsWith("at "))?.trim() ?? ""}`;
}
