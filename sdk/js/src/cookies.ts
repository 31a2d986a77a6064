// Reading and expiring cookies (protocol §2, RFC 6265): doubled names, other spellings and shadowing paths are a sibling's attacks.

import { type HeaderLines, valuesOf } from "./request.js";

/** A value that could be a pass: a compact JWS by its alphabet. Nothing else is ever sent to the engine. */
const PASS = /^[A-Za-z0-9._-]{1,4096}$/;
/** More lines than this would overflow the header buffers of common reverse proxies. */
const MOST_EXPIRY_LINES = 32;

/** What a request brought under the pass's name. */
export interface Presented {
  /** How many cookies had exactly that name. */
  readonly count: number;
  /** Those of them that could be a pass, each value once. */
  readonly passes: readonly string[];
  /** How many had that name in another spelling: browsers keep `__SECURE-…` without the prefix's protection. */
  readonly variants: number;
}

/** Collects the cookies whose name is `name`, byte for byte, from every `Cookie` header. */
export function presented(headers: HeaderLines, name: string): Presented {
  const found = pairs(headers);
  const values = found.filter(([other]) => other === name).map(([, value]) => value);
  const spelled = found.filter(([other]) => other.toLowerCase() === name.toLowerCase()).length;
  const passes = [...new Set(values.filter((value) => PASS.test(value)))];
  return { count: values.length, passes, variants: spelled - values.length };
}

/** The values of a host-only cookie of ours. */
export function cookieValues(headers: HeaderLines, name: string): string[] {
  return pairs(headers)
    .filter(([found]) => found === name)
    .map(([, value]) => value);
}

/** The names of all cookies that begin with `prefix`, one entry per cookie. */
export function cookieNames(headers: HeaderLines, prefix: string): string[] {
  return pairs(headers)
    .map(([name]) => name)
    .filter((name) => name.startsWith(prefix));
}

/**
 * `Set-Cookie` lines that remove a cookie wherever a sibling may have put it: host-only and for each of `domains`, at
 * `/` and at each prefix of `path`.
 */
export function expiry(name: string, path: string, domains: readonly string[]): string[] {
  const places = ["", ...domains.map((domain) => `; Domain=${domain}`)];
  return pathPrefixes(path)
    .flatMap((prefix) =>
      places.map((place) => `${name}=; Path=${prefix}${place}; Max-Age=0; Secure; HttpOnly; SameSite=Lax`),
    )
    .slice(0, MOST_EXPIRY_LINES);
}

/** A host-only cookie of ours. */
export function hostOnly(name: string, value: string, maxAgeSeconds: number): string {
  return `${name}=${value}; Path=/; Max-Age=${maxAgeSeconds}; Secure; HttpOnly; SameSite=Lax`;
}

/**
 * Whether the line that the engine asks us to relay sets the pass and nothing else; its word is not taken for more than
 * that. A bound app's pass is for its own host: with a `Domain`, siblings would receive it.
 */
export function isRelayable(line: string, passCookie: string, bound: boolean): boolean {
  const prefix = `${passCookie}=`;
  const rest = line.slice(prefix.length);
  if (!line.startsWith(prefix) || rest === "" || rest.startsWith(";") || !/^[\x20-\x7e]*$/.test(line)) return false;
  const attributes = rest.split(";").slice(1).map((attribute) => trimmed(attribute.split("=", 1)[0] ?? "").toLowerCase());
  return !bound || !attributes.includes("domain");
}

/**
 * `/orders/5` gives `/`, `/orders`, `/orders/`, `/orders/5`: every cookie path that this request matches (RFC 6265
 * §5.1.4). Ends at the first character that a cookie path cannot hold.
 */
export function pathPrefixes(path: string): string[] {
  const representable = /^[!-:<-~]*/.exec(path)?.[0] ?? "";
  const prefixes = ["/"];
  for (let index = representable.indexOf("/", 1); index > 0; index = representable.indexOf("/", index + 1)) {
    prefixes.push(representable.slice(0, index), representable.slice(0, index + 1));
    // Beyond what is ever sent, also for a path of nothing but slashes.
    if (prefixes.length > MOST_EXPIRY_LINES) break;
  }
  const complete = representable.length === path.length;
  if (complete && path.startsWith("/") && path.length > 1 && !path.endsWith("/")) prefixes.push(path);
  return prefixes;
}

/** Every `name=value` of every `Cookie` header (HTTP/2 splits them), blanks around both removed. */
function pairs(headers: HeaderLines): [string, string][] {
  return valuesOf(headers, "cookie")
    .flatMap((line) => line.split(";"))
    .flatMap((pair): [string, string][] => {
      const equals = pair.indexOf("=");
      return equals < 0 ? [] : [[trimmed(pair.slice(0, equals)), trimmed(pair.slice(equals + 1))]];
    });
}

/** Without the blanks of RFC 6265 around it; `trim` would take other characters along. */
function trimmed(text: string): string {
  const isBlank = (index: number): boolean => text[index] === " " || text[index] === "\t";
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(start)) start += 1;
  while (end > start && isBlank(end - 1)) end -= 1;
  return text.slice(start, end);
}
