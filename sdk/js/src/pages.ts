// What the SDK itself answers: redirects, problem details (RFC 9457) and a few small pages. One template, a strict content
// security policy, nothing of the request in it (protocol §18).

import { createHash } from "node:crypto";

import { STYLE } from "./style.js";

/** A finished answer. */
export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>;
  readonly body: string;
}

/** An answer that refuses, as a page for people or as problem details for programs. */
export interface Refusal {
  readonly status: number;
  /** The word a program looks for. */
  readonly code: string;
  readonly title: string;
  readonly detail: string;
}

export const CROSS_ORIGIN: Refusal = {
  status: 403,
  code: "cross_origin",
  title: "This did not come from here",
  detail: "The request was sent by another website, so nothing was done. Open this application directly and try again.",
};

export const CSRF_FAILED: Refusal = {
  status: 403,
  code: "csrf_failed",
  title: "This form is too old",
  detail: "The form was opened before you last signed in, so nothing was done. Go back, reload the page and send it again.",
};

export const NOT_PERMITTED: Refusal = {
  status: 403,
  code: "not_permitted",
  title: "You may not do this",
  detail:
    "Your account does not have the permission that this needs. If you should have it, ask whoever manages access to this application.",
};

export const TOO_MANY_COOKIES: Refusal = {
  status: 400,
  code: "too_many_passes",
  title: "Too many sign-in cookies",
  detail:
    "Your browser sent several sign-in cookies at once, which another website under the same domain must have set. They have been removed. Reload the page; if this comes back, tell your administrator.",
};

export const TOO_LARGE: Refusal = {
  status: 413,
  code: "too_large",
  title: "That was too much",
  detail: "The form is larger than this address accepts.",
};

export const INVALID_FORM: Refusal = {
  status: 400,
  code: "invalid_request",
  title: "This form cannot be read",
  detail: "A field is missing or was sent twice. Go back and try again.",
};

export const NOT_FOUND: Refusal = {
  status: 404,
  code: "not_found",
  title: "There is nothing here",
  detail: "The address may have been mistyped.",
};

export const METHOD_NOT_ALLOWED: Refusal = {
  status: 405,
  code: "method_not_allowed",
  title: "This address takes forms only",
  detail: "Go back to the application and use the button there.",
};

export const SUBJECT_SWITCH: Refusal = {
  status: 409,
  code: "subject_switch",
  title: "Another person has signed in",
  detail: "Another person is now signed in in this browser. Reload the page to continue.",
};

export const CONFIRMATION_REQUIRED: Refusal = {
  status: 409,
  code: "confirmation_required",
  title: "Please confirm who you are",
  detail: "This application has not been used in this browser before. Reload the page to continue.",
};

const AWAY: Refusal = {
  status: 503,
  code: "temporarily_unavailable",
  title: "Sign-in cannot be checked right now",
  detail:
    "The sign-in service does not answer, so this application cannot tell who you are. You are still signed in. Wait a moment and reload the page.",
};

/** The refusal, as a page if `page`. */
export function refuse(refusal: Refusal, page: boolean): Answer {
  const { status, code, title, detail } = refusal;
  if (page) return html(status, title, `<h1>${escaped(title)}</h1><p>${escaped(detail)}</p>`);
  return json(status, "application/problem+json", { type: "about:blank", title, status, detail, error: code });
}

/** The engine cannot be asked. Never an answer about the visitor, always about us. */
export function unavailable(page: boolean, retryAfterSeconds = 5): Answer {
  return withHeader(refuse(AWAY, page), "Retry-After", String(retryAfterSeconds));
}

/** 303: after it, the browser asks with GET and without the body. */
export function redirect(url: string): Answer {
  return { status: 303, headers: [["Location", url], NO_STORE], body: "" };
}

/** 401 for whatever cannot follow a redirect (protocol §6). */
export function loginRequired(signInUrl: string, realm: string): Answer {
  const answer = json(401, "application/json", { error: "login_required", sign_in_url: signInUrl });
  return withHeader(answer, "WWW-Authenticate", `Hallpass realm="${realm}"`);
}

/** 401 for a form that somebody sent without being signed in (any more): nothing was done, and how to go on. */
export function signInFirst(url: string): Answer {
  const body =
    "<h1>Please sign in again</h1><p>Your sign-in had to be renewed, so what you sent was <strong>not</strong> carried out. Go on, " +
    `then do it once more.</p><p><a class="button" href="${escaped(url)}">Go on</a></p>`;
  return html(401, "Please sign in again", body);
}

/** 200 with a JSON object. */
export function jsonAnswer(body: Readonly<Record<string, unknown>>): Answer {
  return json(200, "application/json", body);
}

/** 204. */
export function done(): Answer {
  return { status: 204, headers: [NO_STORE], body: "" };
}

/** 200, with nothing to say. */
export function noted(): Answer {
  return { status: 200, headers: [NO_STORE], body: "" };
}

/** A page of the same kind as all others; `body` is markup. */
export function page(status: number, title: string, body: string): Answer {
  return html(status, title, body);
}

/**
 * Why a browser keeps coming back without a pass that counts: the pass does not arrive; it arrives and the engine does
 * not accept it; passes of different sessions arrive; it is not that of whom this app last saw here, and what the
 * handoff showed is not remembered.
 */
export type LoopCause = "missing" | "refused" | "conflict" | "unrecognised";

/** Shown instead of one redirect too many. */
export function stuck(cause: LoopCause, tryAgain: string): Answer {
  const [why, what] = STUCK[cause];
  const title = "Signing in goes round in circles";
  const body = `<h1>${title}</h1><p>${why}</p><p>${what}</p><p><a class="button" href="${escaped(tryAgain)}">Try again</a></p>`;
  return html(400, title, body);
}

const STUCK: Readonly<Record<LoopCause, readonly [why: string, what: string]>> = {
  missing: [
    "You were signed in, but your browser did not bring the sign-in cookie to this address.",
    "Allow cookies for this website. If they are allowed, tell your administrator that this application’s address may lie outside its sign-in zone.",
  ],
  refused: [
    "Your browser brought a sign-in cookie that is not accepted here.",
    "Your account may have no access to this application, or the clock of one of the servers is wrong. Tell your administrator.",
  ],
  conflict: [
    "Your browser keeps bringing sign-in cookies of different people.",
    "Another website under the same domain keeps setting them. Tell your administrator; until then, a fresh private window may help.",
  ],
  unrecognised: [
    "Your browser brought another person’s sign-in cookie, or does not keep this application’s own.",
    "Allow cookies for this website. If they are allowed, another website under the same domain may be changing them: tell your administrator.",
  ],
};

/** What the page that asks for a click shows and sends. */
export interface PersonQuestion {
  /** Who the pass belongs to. */
  readonly now: string;
  /** Who was last accepted in this browser, if anybody. */
  readonly before: string | undefined;
  /** Sealed: what the click confirms. */
  readonly token: string;
  /** A path on our own origin. */
  readonly destination: string;
  /** Where the engine decides anew who is signed in. */
  readonly refreshUrl: string;
  /** The engine's origin, to which these forms may lead. */
  readonly engine: string;
}

/** Names both people, or the one person of a first contact, and asks. */
export function askForPerson(question: PersonQuestion): Answer {
  const now = escaped(question.now);
  const before = question.before === undefined ? undefined : escaped(question.before);
  const title = before === undefined ? "Is this you?" : "Who is using this application?";
  const explanation =
    before === undefined
      ? `<p><strong>${now}</strong> is signed in. This application has not been used in this browser before.</p>`
      : `<p>This browser last used this application as <strong>${before}</strong>. Now <strong>${now}</strong> is signed in.</p>`;
  const other = before === undefined ? "I am somebody else" : `I am ${before}`;
  const body =
    `<h1>${title}</h1>${explanation}` +
    '<form method="post" action="/.hallpass/switch">' +
    `<input type="hidden" name="person" value="${escaped(question.token)}">` +
    `<input type="hidden" name="return_to" value="${escaped(question.destination)}">` +
    `<button class="button">Continue as ${now}</button></form>` +
    `<p><a href="${escaped(question.refreshUrl)}">${other}</a></p>` +
    `<form method="post" action="/.hallpass/sign-out"><button class="link">Sign ${now} out</button></form>`;
  return html(200, title, body, question.engine);
}

/** Sign-out here is done, the engine does not know yet (protocol §9). */
export function signedOutHereOnly(signOutUrl: string): Answer {
  const title = "You are signed out here";
  const body =
    `<h1>${title}</h1><p>The sign-in service does not answer, so <strong>other applications may still be open</strong> ` +
    "in this browser. To be safe, close the browser, or try again in a moment.</p>" +
    `<p><a class="button" href="${escaped(signOutUrl)}">Sign out everywhere else</a></p>`;
  return withHeader(html(503, title, body), "Retry-After", "5");
}

/** Adds a header to an answer of our own. */
export function withHeader(answer: Answer, name: string, value: string): Answer {
  return { ...answer, headers: [...answer.headers, [name, value]] };
}

/** Adds cookies to an answer of our own. */
export function withCookies(answer: Answer, cookies: readonly string[]): Answer {
  const lines = cookies.map((line): [string, string] => ["Set-Cookie", line]);
  return { ...answer, headers: [...answer.headers, ...lines] };
}

const NO_STORE: readonly [string, string] = ["Cache-Control", "no-store"];
const STYLE_HASH = createHash("sha256").update(STYLE).digest("base64");

function html(status: number, title: string, body: string, formsMayLeadTo?: string): Answer {
  const page =
    '<!doctype html><html lang="en"><head><meta charset="utf-8">' +
    '<meta name="viewport" content="width=device-width, initial-scale=1">' +
    '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">' +
    `<title>${escaped(title)}</title><style>${STYLE}</style></head><body><main>${body}</main></body></html>`;
  const formAction = formsMayLeadTo === undefined ? "'self'" : `'self' ${formsMayLeadTo}`;
  const policy = `default-src 'none'; img-src 'self'; style-src 'sha256-${STYLE_HASH}'; form-action ${formAction}; base-uri 'none'; frame-ancestors 'none'`;
  return {
    status,
    headers: [
      NO_STORE,
      ["Content-Type", "text/html; charset=utf-8"],
      ["X-Content-Type-Options", "nosniff"],
      ["X-Frame-Options", "DENY"],
      // Not `no-referrer`: with it, browsers send `Origin: null` with our own forms.
      ["Referrer-Policy", "same-origin"],
      ["Cross-Origin-Opener-Policy", "same-origin"],
      ["Cross-Origin-Resource-Policy", "same-origin"],
      ["Content-Security-Policy", policy],
    ],
    body: page,
  };
}

function json(status: number, contentType: string, body: Readonly<Record<string, unknown>>): Answer {
  const headers: Answer["headers"] = [NO_STORE, ["Content-Type", contentType], ["X-Content-Type-Options", "nosniff"]];
  return { status, headers, body: JSON.stringify(body) };
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Also without the characters by which a name would turn the rest of the sentence around. */
export function escaped(text: string): string {
  return text
    .replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "")
    .replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}
