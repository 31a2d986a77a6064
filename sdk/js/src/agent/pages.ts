// What an agent answers besides what every app does (protocol §8, §18).

import { type Answer, type Refusal, escaped, jsonAnswer, page, refuse, unavailable, withHeader } from "../pages.js";

export const FOR_READING: Refusal = {
  status: 405,
  code: "method_not_allowed",
  title: "This address takes no forms",
  detail: "Go back to the application and use the links there.",
};

export const WINDOWS_ONLY: Refusal = {
  status: 403,
  code: "not_a_navigation",
  title: "This address is for browser windows only",
  detail: "It was asked for by a frame, a script, or before anybody wanted to see it, so nothing was done. Open the application itself.",
};

export const HANDOFF_REFUSED: Refusal = {
  status: 403,
  code: "handoff_refused",
  title: "This sign-in was not begun here",
  detail:
    "The address that you opened finishes a sign-in which was begun in another browser or too long ago, or which is over already. Nothing was done. If this comes again and again, allow cookies for this site in your browser's settings.",
};

/** The end of a handoff that was not begun in this browser, or is over: 403, and how to begin anew. */
export function handoffRefused(asPage: boolean): Answer {
  if (!asPage) return refuse(HANDOFF_REFUSED, false);
  const { status, title, detail } = HANDOFF_REFUSED;
  const body = `<h1>${title}</h1><p>${detail}</p><p><a class="button" href="/">Start again</a></p>`;
  return withoutReferrer(page(status, title, body));
}

/** The engine could not be asked at the end of a handoff. Reloading cannot help, as the transaction is over: a link does. */
export function handoffUnavailable(asPage: boolean, tryAgain: string, retryAfterSeconds = 5): Answer {
  if (!asPage) return unavailable(false, retryAfterSeconds);
  const title = "You cannot be signed in right now";
  const body =
    `<h1>${title}</h1><p>The sign-in service does not answer. Wait a moment and try again.</p>` +
    `<p><a class="button" href="${escaped(tryAgain)}">Try again</a></p>`;
  return withHeader(withoutReferrer(page(503, title, body)), "Retry-After", String(retryAfterSeconds));
}

/** Says who answers here, for the engine's own page to ask before it sends somebody. */
export function about(issuer: string, appKey: string): Answer {
  return withHeader(jsonAnswer({ issuer, app: appKey }), "Access-Control-Allow-Origin", issuer);
}

/** For pages whose address may hold a code: the links on them must not carry it on, not even to ourselves. */
function withoutReferrer(answer: Answer): Answer {
  const others = answer.headers.filter(([name]) => name !== "Referrer-Policy");
  return { ...answer, headers: [...others, ["Referrer-Policy", "no-referrer"]] };
}
