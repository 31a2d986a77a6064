// A handoff under way, sealed in a cookie of the browser that began it (protocol §8 number 1; RFC 7636). That binds it: a code opened in
// another browser finds no transaction and does nothing, so nobody can be signed in as somebody else by a link.

import { createHash, randomBytes } from "node:crypto";

import { cookieNames, cookieValues, expiry, hostOnly } from "../cookies.js";
import type { HeaderLines } from "../request.js";
import { type Sealer, open, seal } from "../sealer.js";

/** Every transaction's cookie begins so; then follow eight characters of its state's hash. */
export const TRANSACTION_COOKIE = "__Host-Http-hallpass-tx-";

const LIFETIME_SECONDS = 120;
/** Given up half way, they would fill the browser's request line. */
const MOST_TRANSACTIONS = 12;
/** What browsers keep, name and value together (protocol §2). */
const LONGEST_COOKIE = 4096;
/** 32 bytes as base64url without padding. */
const TOKEN = /^[A-Za-z0-9_-]{43}$/;

/** What is to come of a handoff. */
export interface Intent {
  /** A path on our own origin. */
  readonly r: string;
  /** The engine's chain of zones, to which this one reports back. */
  readonly chain: string | undefined;
  /** The app of this zone and the address that the engine sent somebody here for; not judged here. */
  readonly app: string | undefined;
  readonly returnTo: string | undefined;
  /** Nobody is to notice: an anonymous visitor stays one. */
  readonly silent: boolean;
}

/** An intent, and the two secrets that bind it to this browser. */
export interface Transaction extends Intent {
  readonly state: string;
  readonly verifier: string;
  readonly startedAt: number;
}

/** Only where to come back to, as most handoffs. */
export function comingBackTo(r: string): Intent {
  return { r, chain: undefined, app: undefined, returnTo: undefined, silent: false };
}

/** New secrets for `intent`. */
export function transact(intent: Intent, now: number): Transaction {
  const token = (): string => randomBytes(32).toString("base64url");
  return { ...intent, state: token(), verifier: token(), startedAt: now };
}

/** By which the engine recognises the verifier (RFC 7636 §4.2, S256). */
export function challenge(verifier: string): string {
  return createHash("sha256").update(verifier, "ascii").digest("base64url");
}

/** The `Set-Cookie` lines that keep it; before it those that remove what was given up. Undefined if no browser would keep it. */
export function transactionCookies(headers: HeaderLines, transaction: Transaction, sealer: Sealer): string[] | undefined {
  const { r, chain, app, returnTo, silent, state, verifier, startedAt } = transaction;
  const sealed = JSON.stringify({ state, verifier, r, chain, app, return_to: returnTo, silent, started_at: startedAt });
  const name = cookieName(state);
  const value = seal(sealer, sealed, "handoff");
  if (name.length + 1 + value.length > LONGEST_COOKIE) return undefined;
  const left = cookieNames(headers, TRANSACTION_COOKIE);
  const removed = left.length < MOST_TRANSACTIONS ? [] : [...new Set(left)].filter((each) => /^[\w-]{1,64}$/.test(each));
  return [...removed.slice(0, 32).flatMap((each) => expiry(each, "/", [])), hostOnly(name, value, LIFETIME_SECONDS)];
}

/** What a browser brought for a state. */
export interface Found {
  /** Undefined if there is none, more than one (a browser that lets siblings set `__Host-` cookies), or not of ours, or too old. */
  readonly transaction: Transaction | undefined;
  /** Removes whatever there is: a state is good for one answer. */
  readonly expiry: readonly string[];
}

/** Looks for the transaction of `state`. */
export function findTransaction(
  headers: HeaderLines,
  state: string | undefined,
  sealer: Sealer,
  now: number,
  domains: readonly string[],
): Found {
  if (state === undefined || !TOKEN.test(state)) return { transaction: undefined, expiry: [] };
  const name = cookieName(state);
  const [value, ...others] = cookieValues(headers, name);
  if (value === undefined) return { transaction: undefined, expiry: [] };
  const doubled = others.length > 0;
  const found = doubled ? undefined : opened(value, sealer);
  // Another instance of this app may have begun it, by a clock that differs a little.
  const current = found?.state === state && Math.abs(now - found.startedAt) <= LIFETIME_SECONDS;
  return { transaction: current ? found : undefined, expiry: expiry(name, "/", doubled ? domains : []) };
}

function cookieName(state: string): string {
  const hash = createHash("sha256").update(Buffer.from(state, "base64url")).digest("base64url");
  return TRANSACTION_COOKIE + hash.slice(0, 8);
}

/** What we sealed ourselves; of another version of ours it may hold anything. */
function opened(value: string, sealer: Sealer): Transaction | undefined {
  const plaintext = open(sealer, value, "handoff")?.plaintext.toString("utf8");
  if (plaintext === undefined) return undefined;
  try {
    const { state, verifier, r, chain, app, return_to: returnTo, silent, started_at: startedAt } = JSON.parse(plaintext);
    const texts = [state, verifier, r].every((each) => typeof each === "string");
    const optional = [chain, app, returnTo].every((each) => each === undefined || typeof each === "string");
    if (!texts || !optional || typeof silent !== "boolean" || typeof startedAt !== "number") return undefined;
    return { state, verifier, r, chain, app, returnTo, silent, startedAt };
  } catch {
    return undefined;
  }
}
