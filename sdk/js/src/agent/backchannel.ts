// `POST /.sso/backchannel` (OpenID Connect Back-Channel Logout; protocol §9 number 4): the engine says that a session has ended.

import { fieldValues } from "../csrf.js";
import type { Setup } from "../options.js";
import * as pages from "../pages.js";
import { type Asked, type HeaderLines, firstOf, valuesOf } from "../request.js";

/** A compact JWS (protocol §14), and its field's name. */
const LONGEST_TOKEN = 8 * 1024;
const LONGEST_FORM = LONGEST_TOKEN + 1024;

/**
 * Forgets what is remembered of the session, so that the next request asks the engine. No signature is checked: the
 * token is a hint, not a credential, and the worst a forger reaches is one more question to the engine.
 */
export async function backchannel(setup: Setup, asked: Asked): Promise<pages.Answer> {
  if (asked.method !== "POST") {
    return pages.withHeader(pages.refuse(pages.METHOD_NOT_ALLOWED, false), "Allow", "POST");
  }
  if (isFromBrowser(asked.headers)) return pages.refuse(pages.CROSS_ORIGIN, false);
  const malformed = pages.refuse(pages.INVALID_FORM, false);
  if (!isForm(asked.headers)) return malformed;
  const form = await asked.readForm(LONGEST_FORM);
  if (form === "too_large") return malformed;
  const [token, ...others] = fieldValues(form, "logout_token");
  if (token === undefined || others.length > 0 || token.length > LONGEST_TOKEN) return malformed;
  const sessionId = sessionOf(setup, token);
  if (sessionId === undefined) return malformed;
  setup.memory.doubt(sessionId);
  return pages.noted();
}

/** Browsers name themselves in what a page lets them post: here only the engine posts. */
function isFromBrowser(headers: HeaderLines): boolean {
  return valuesOf(headers, "sec-fetch-site").length > 0 || valuesOf(headers, "origin").length > 0;
}

function isForm(headers: HeaderLines): boolean {
  const mediaType = firstOf(headers, "content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  return mediaType === "application/x-www-form-urlencoded" && firstOf(headers, "content-encoding") === undefined;
}

/** The session that the engine's token for this app is about. */
function sessionOf(setup: Setup, token: string): string | undefined {
  const [, claims] = /^[\w-]+\.([\w-]+)\.[\w-]*$/.exec(token) ?? [];
  if (claims === undefined) return undefined;
  try {
    const { iss, aud, sid } = JSON.parse(Buffer.from(claims, "base64url").toString("utf8"));
    const isForUs = iss === setup.engine.public.text && (Array.isArray(aud) ? aud.includes(setup.appKey) : aud === setup.appKey);
    return isForUs && typeof sid === "string" && sid !== "" ? sid : undefined;
  } catch {
    return undefined;
  }
}
