// What an agent answers besides what every app does (protocol §8): three refusals.

import { type Answer, type Refusal, jsonAnswer, page, refuse, withHeader } from "../pages.js";

export const NOT_A_NAVIGATION: Refusal = {
  status: 403,
  code: "not_a_navigation",
  title: "This address is for browser windows only",
  detail: "Open the application itself.",
};

export const WRONG_METHOD: Refusal = {
  status: 405,
  code: "method_not_allowed",
  title: "This address takes no forms",
  detail: "Open the application itself.",
};

const HANDOFF_REFUSED: Refusal = {
  status: 403,
  code: "handoff_refused",
  title: "That link does not work here",
  detail: "It was opened in another browser, was used before, or is too old. Nobody was signed in by it.",
};

/** A callback that this browser did not begin, or not lately; and how to go on. */
export function handoffRefused(asPage: boolean): Answer {
  if (!asPage) return refuse(HANDOFF_REFUSED, false);
  const { status, title, detail } = HANDOFF_REFUSED;
  return page(status, title, `<h1>${title}</h1><p>${detail}</p><p><a class="button" href="/">Start again</a></p>`);
}

/** Says who answers here, for the engine's own page to ask before it sends somebody. */
export function about(issuer: string, appKey: string): Answer {
  return withHeader(jsonAnswer({ issuer, app: appKey }), "Access-Control-Allow-Origin", issuer);
}
