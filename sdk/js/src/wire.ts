// What is said on the wire: introspection requests and answers (protocol §4, RFC 7662). An active answer that lacks something, has
// it in another type or is meant for somebody else is the engine's fault and never becomes a caller.

import type { Facts } from "./caller.js";

/** One call of `POST /introspect`. */
export interface Question {
  /** One or several passes. */
  readonly passes: readonly string[];
  /** A token of this request to be checked. */
  readonly csrf?: CsrfCheck | undefined;
  /** The version we hold, for a single pass. */
  readonly ifVersion?: string | undefined;
}

/** A CSRF token as presented, and the method it is to cover. */
export interface CsrfCheck {
  readonly token: string;
  readonly method: string;
}

/** Who must have answered whom. */
export interface Parties {
  readonly issuer: string;
  readonly appKey: string;
}

/** What the engine says about one pass. */
export type WireAnswer =
  | { readonly active: false }
  | {
      readonly active: true;
      /** Undefined: as in the version we named. */
      readonly facts: Facts | undefined;
      readonly cacheForSeconds: number;
      readonly setCookie: string | undefined;
      readonly csrfFailed: boolean;
    };

/** The request body; without what is not there. */
export function questionBody(question: Question, host: string): string {
  const [first] = question.passes;
  const single = question.passes.length === 1;
  return JSON.stringify({
    token: single ? first : undefined,
    tokens: single ? undefined : question.passes,
    host,
    csrf_token: question.csrf?.token,
    method: question.csrf?.method,
    if_version: single ? question.ifVersion : undefined,
  });
}

/** Reads the answer to `question`, one entry per pass. Throws {@link Unusable}, which says what is wrong with it. */
export function readAnswers(body: Uint8Array, question: Question, parties: Parties): WireAnswer[] {
  const read = parsed(body);
  const versionNamed = question.ifVersion !== undefined;
  if (question.passes.length === 1) return [readAnswer(read, parties, versionNamed)];
  const results = object(read, "the answer")["results"];
  if (!Array.isArray(results)) throw new Unusable("results is no list");
  if (results.length !== question.passes.length) {
    throw new Unusable(`${results.length} answers to ${question.passes.length} passes`);
  }
  return results.map((result) => readAnswer(result, parties, versionNamed));
}

/** Whom a handoff's code stands for. */
export interface Redeemed {
  /** Undefined if they may not use this app, which fetches the pass for another one of its zone. */
  readonly facts: Facts | undefined;
  /** To be relayed. */
  readonly setCookie: string;
  /** Where the engine has checked that the person may be sent; undefined where our own transaction says it. */
  readonly returnTo: string | undefined;
}

/** Reads the answer of `POST /handoff/token`. Throws {@link Unusable}. */
export function readRedeemed(body: Uint8Array, parties: Parties): Redeemed {
  const raw = object(parsed(body), "the answer");
  // For sites that keep an assertion; whoever asked the engine needs none.
  text(raw, "assertion");
  const setCookie = text(raw, "set_cookie") ?? "";
  if (setCookie === "") throw new Unusable("a handoff without a pass");
  const returnTo = text(raw, "return_to");
  const envelope = readAnswer(raw["envelope"], parties, false);
  const facts = envelope.active ? envelope.facts : undefined;
  if (!facts && returnTo === undefined) throw new Unusable("the envelope is of nobody");
  return { facts, setCookie, returnTo };
}

/** Reads where the answer to a sign-out sends the person: an address of the engine's, or it cannot be used. */
export function readContinueAt(body: Uint8Array, issuer: string): string | undefined {
  const at = text(object(parsed(body), "the answer"), "continue_at");
  // With the slash: `https://auth.company.com.evil.com` begins with the issuer, too.
  if (at !== undefined && !(at.startsWith(`${issuer}/`) && /^[!-~]*$/.test(at))) throw new Unusable("continue_at is elsewhere");
  return at;
}

/** Why an answer cannot be used. The message never holds a value that could be a secret. */
export class Unusable extends Error {}

function readAnswer(value: unknown, parties: Parties, versionNamed: boolean): WireAnswer {
  const raw = object(value, "an answer");
  // Every member is looked at before any is believed: one of a wrong type spoils the answer, needed or not.
  const active = flag(raw, "active");
  if (active === undefined) throw new Unusable("active is missing");
  const unchanged = flag(raw, "unchanged") ?? false;
  const tokenType = text(raw, "token_type");
  const issuer = text(raw, "iss");
  const client = text(raw, "client_id");
  const userId = text(raw, "sub");
  const sessionId = text(raw, "sid");
  const username = text(raw, "username");
  const name = text(raw, "name");
  const acr = text(raw, "acr");
  const amr = texts(raw, "amr");
  const roles = texts(raw, "roles");
  const permissions = texts(raw, "permissions");
  const authenticatedAt = whole(raw, "auth_time");
  const issuedAt = whole(raw, "iat");
  const expiresAt = whole(raw, "exp");
  const attributes = raw["attributes"] === undefined || raw["attributes"] === null ? {} : object(raw["attributes"], "attributes");
  const version = text(raw, "version");
  const cacheForSeconds = whole(raw, "cache_for") ?? 0;
  const csrfToken = text(raw, "csrf_token");
  const csrf = text(raw, "csrf");
  const setCookie = text(raw, "set_cookie");

  if (!active) return { active: false };
  const extras = { cacheForSeconds, setCookie, csrfFailed: csrf !== undefined && csrf !== "ok" };
  if (unchanged) {
    if (!versionNamed) throw new Unusable("unchanged, without a version to compare with");
    return { active: true, facts: undefined, ...extras };
  }
  if (issuer !== parties.issuer) throw new Unusable(`issuer is ${JSON.stringify(issuer)}, expected ${parties.issuer}`);
  if (client !== parties.appKey) {
    throw new Unusable(`answered for app ${JSON.stringify(client)}, asked as ${parties.appKey}`);
  }
  // An access token that somebody put into the pass's cookie: active, but no sign-in in this browser.
  if (given(tokenType, "token_type") !== "pass") return { active: false };
  const facts: Facts = {
    userId: given(userId, "sub"),
    username: given(username, "username"),
    name: name === "" ? undefined : name,
    sessionId: given(sessionId, "sid"),
    roles: roles ?? [],
    permissions: [...new Set(given(permissions, "permissions"))].sort(),
    acr: given(acr, "acr"),
    amr: amr ?? [],
    authenticatedAt: given(authenticatedAt, "auth_time"),
    attributes,
    csrfToken,
    issuedAt: given(issuedAt, "iat"),
    expiresAt: given(expiresAt, "exp"),
    version,
  };
  return { active: true, facts: frozen(facts), ...extras };
}

function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body));
  } catch {
    // The parser's own message quotes what it read.
    throw new Unusable("it is not JSON");
  }
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Unusable(`${what} is no object`);
  return value as Record<string, unknown>;
}

function given<Value>(value: Value | undefined, member: string): Value {
  if (value === undefined || value === "") throw new Unusable(`an active answer without ${member}`);
  return value;
}

/** A member, if it is there and not null and `is` what it must be. */
function member<Value>(raw: Record<string, unknown>, name: string, is: (value: unknown) => value is Value): Value | undefined {
  const value = Object.hasOwn(raw, name) ? raw[name] : undefined;
  if (value === undefined || value === null) return undefined;
  if (!is(value)) throw new Unusable(`${name} has the wrong type`);
  return value;
}

const isText = (value: unknown): value is string => typeof value === "string";

function text(raw: Record<string, unknown>, name: string): string | undefined {
  return member(raw, name, isText);
}

function flag(raw: Record<string, unknown>, name: string): boolean | undefined {
  return member(raw, name, (value): value is boolean => typeof value === "boolean");
}

function whole(raw: Record<string, unknown>, name: string): number | undefined {
  return member(raw, name, (value): value is number => Number.isSafeInteger(value) && (value as number) >= 0);
}

function texts(raw: Record<string, unknown>, name: string): string[] | undefined {
  return member(raw, name, (value): value is string[] => Array.isArray(value) && value.every(isText));
}

/** Facts are shared between requests: nobody may write to them. */
function frozen<Value>(value: Value): Value {
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(frozen);
    Object.freeze(value);
  }
  return value;
}
