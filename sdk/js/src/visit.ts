// What a request is: a navigation that may be redirected, something that wants a page, something that wants JSON; and where the
// person is to come back to (protocol §6, §12; Fetch Metadata Request Headers).

import { type Origin, mayChangeSomething } from "./origin.js";
import { type Asked, type HeaderLines, firstOf, pathAndQuery, valuesOf } from "./request.js";

/** Where the SDK's own endpoints live, and most of an agent's. */
export const OWN_PATHS = "/.hallpass/";
export const AGENT_PATHS = "/.sso/";

/** Beyond this, a destination is shortened to its path, then to `/`: the engine's request line holds 8 KB. */
const LONGEST_DESTINATION = 2000;

/** One request, as far as the rules care. */
export interface Visit {
  /** The path as the browser asked for it. */
  readonly path: string;
  /** A GET that fills a window: it may be answered with a redirect. */
  readonly navigation: boolean;
  /** Such a GET, and the window is one that somebody looks at: what a handoff needs. */
  readonly window: boolean;
  /** Whoever asks can show a page. */
  readonly page: boolean;
  /** It may change something: origin rule, CSRF token, no grace. */
  readonly mayChange: boolean;
  /** Where the person wants to be, as a path and query on our own origin. */
  readonly destination: string;
}

/** Reads a request that came to `own` origin. */
export function readVisit(asked: Asked, own: Origin): Visit {
  const target = pathAndQuery(asked.target);
  const page = wantsPage(asked.headers);
  const navigation = page && asked.method === "GET";
  return {
    path: target.split("?", 1)[0] ?? "/",
    navigation,
    window: navigation && fillsWindow(asked.headers),
    page,
    mayChange: mayChangeSomething(asked.method, asked.headers),
    // A script or a form: the person is on the page that sent it, not at the address it was sent to.
    destination: navigation ? localDestination(target) : referringPage(asked.headers, own),
  };
}

/**
 * Whether the path means the same to everybody who reads it. Only such a path may be declared open to anonymous
 * visitors: `/public/../admin` and `/public%2f..` are read differently by different routers.
 */
export function isPlainPath(path: string): boolean {
  const lower = path.toLowerCase();
  const ambiguous = ["//", "\\", "%2e", "%2f", "%5c", "%00", ";"].some((part) => lower.includes(part));
  const dotted = path.split("/").some((segment) => segment === "." || segment === "..");
  return path.startsWith("/") && !ambiguous && !dotted;
}

/** Whether whoever sent `headers` can show a page: by Fetch Metadata where the browser sends it, else by `Accept`. */
export function wantsPage(headers: HeaderLines): boolean {
  const mode = firstOf(headers, "sec-fetch-mode");
  if (mode !== undefined) return mode === "navigate";
  return valuesOf(headers, "accept").some((accept) => accept.toLowerCase().includes("text/html"));
}

/**
 * Whether `headers` leave it possible that the answer fills a window that somebody looks at. Codes are not for frames,
 * images and scripts, nor for a page that is fetched before anybody asked for it. Browsers that do not say are let through.
 */
export function fillsWindow(headers: HeaderLines): boolean {
  const says = (name: string, expected: string): boolean => valuesOf(headers, name).every((value) => value === expected);
  return says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document") && valuesOf(headers, "sec-purpose").length === 0;
}

/**
 * A path and query that stays on our own origin, or `/`. Read by the parser that browsers use, because what counts is
 * what they make of it (`/\evil.com`, `/%0d%0a`, tabs inside).
 */
export function localDestination(asked: string): string {
  const path = asked.split(/[?#]/, 1)[0] ?? "";
  return [asked, path].find(isLocal) ?? "/";
}

function isLocal(text: string): boolean {
  return (
    text.length <= LONGEST_DESTINATION &&
    /^\/(?![/\\])[!-[\]-~]*$/.test(text) &&
    // Nobody wants to be at an endpoint; one that led to itself would lead there again and again.
    ![OWN_PATHS, AGENT_PATHS].some((own) => text.startsWith(own)) &&
    // Encoded controls.
    !/%(?:[01]|7f)/i.test(text) &&
    staysHere(text)
  );
}

function staysHere(text: string): boolean {
  const base = "https://own.invalid";
  if (!URL.canParse(text, base)) return false;
  const url = new URL(text, base);
  return url.origin === base && !url.pathname.startsWith("//");
}

function referringPage(headers: HeaderLines, own: Origin): string {
  const referer = firstOf(headers, "referer");
  if (referer === undefined || !URL.canParse(referer)) return "/";
  const page = new URL(referer);
  return page.origin === own.text ? localDestination(page.pathname + page.search) : "/";
}
