// Origins (RFC 6454) and the origin rule for requests that may change something (protocol §7, Fetch Metadata).

import { isIP } from "node:net";

import { type HeaderLines, firstOf, valuesOf } from "./request.js";

/** Scheme, host and port, as browsers write it: `https://pos.company.com`. */
export interface Origin {
  /** As a browser sends it in `Origin`. */
  readonly text: string;
  /** Host and port, as a browser sends it in `Host`. */
  readonly authority: string;
  /** The host without its port; an IPv6 address without its brackets. */
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
}

/**
 * Undefined unless `text` is an https origin (http for loopback names, which browsers count as secure), exactly as a
 * browser writes it; one slash at the end is forgiven.
 */
export function parseOrigin(text: string): Origin | undefined {
  const plain = text.endsWith("/") ? text.slice(0, -1) : text;
  if (!URL.canParse(plain)) return undefined;
  const url = new URL(plain);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const secure = url.protocol === "https:";
  if (!secure && !(url.protocol === "http:" && isLoopback(host))) return undefined;
  if (url.origin !== plain) return undefined;
  return { text: plain, authority: url.host, host, port: Number(url.port) || (secure ? 443 : 80), secure };
}

/** Whether the request could change something. A WebSocket handshake counts: it is a GET, but what follows is not. */
export function mayChangeSomething(method: string, headers: HeaderLines): boolean {
  return !["GET", "HEAD", "OPTIONS"].includes(method) || firstOf(headers, "upgrade") !== undefined;
}

/**
 * Whether `headers` prove that the request comes from a page of `own` origin. `SameSite` is no such proof between
 * siblings: their requests carry our cookies.
 */
export function isSameOrigin(headers: HeaderLines, own: Origin): boolean {
  const site = valuesOf(headers, "sec-fetch-site");
  if (site.length > 0) return site.length === 1 && site[0] === "same-origin";
  const origin = valuesOf(headers, "origin");
  return origin.length === 1 && origin[0] === own.text;
}

/**
 * Every domain for which a sibling could have set a cookie that reaches this host: the host itself and its parents with
 * at least two labels. Browsers refuse those that are public suffixes. Empty for addresses.
 */
export function cookieDomains(origin: Origin): string[] {
  if (isIP(origin.host) !== 0) return [];
  const labels = origin.host.split(".");
  return labels.map((_, index) => labels.slice(index).join(".")).filter((domain) => domain.includes("."));
}

function isLoopback(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith("127.");
  return host === "::1" || host === "localhost" || host.endsWith(".localhost");
}
