// The JWT profile (protocol §8; RFC 7519, RFC 8725): for a site that cannot call the engine, who is handed over to it, from a `handoff+jwt`
// that the browser brings. Everything the engine would have checked is checked here; what is not exactly right is refused.

import { type JsonWebKey, type KeyObject, constants, createHash, createPublicKey, verify } from "node:crypto";

/** Longer tokens are not looked at (protocol §14). */
const LONGEST_TOKEN = 8 * 1024;
/** So far may the engine's clock be ahead, as the engine itself puts up with. */
const LEEWAY_SECONDS = 5;
/** No assertion lives longer. */
const LONGEST_LIFE_SECONDS = 30;
const LONGEST_ID = 256;

/** What an assertion must be about. */
export interface AssertionExpectations {
  /** The engine's public origin. */
  readonly issuer: string;
  /** This site's app key. */
  readonly appKey: string;
  /** The address at which the assertion arrived: this site's `/.sso/callback`. */
  readonly redirectUri: string;
  /** From the transaction cookie of *this browser*, never from the request that brings the token: it is what keeps strangers' links out. */
  readonly state: string;
  /** The engine's `/.well-known/jwks.json`. */
  readonly jwks: { readonly keys: readonly JsonWebKey[] };
  /** The time, in seconds since 1970-01-01T00:00:00Z. */
  readonly now: number;
  /**
   * Remembers `jti` until `expiresAt` and says whether it was there already; {@link SeenAssertions} is one for a site of one
   * process. Several processes must share theirs. Asked last, about tokens that are good otherwise.
   */
  readonly seen: (jti: string, expiresAt: number) => boolean | Promise<boolean>;
}

/** Who is handed over. */
export interface Assertion {
  /** The user's identifier. */
  readonly sub: string;
  /** The session's identifier. */
  readonly sid: string;
  /** When they last proved who they are, in seconds since 1970-01-01T00:00:00Z. */
  readonly authTime: number;
  readonly jti: string;
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** What is wrong with an assertion; the first thing that is. */
export type RefusalReason =
  | "malformed"
  | "header"
  | "typ"
  | "alg"
  | "kid"
  | "key"
  | "signature"
  | "claims"
  | "iss"
  | "aud"
  | "dst"
  | "nonce"
  | "lifetime"
  | "expired"
  | "not_yet_valid"
  | "replayed";

/** The assertion is not accepted. The message holds nothing of the token. */
export class AssertionRefused extends Error {
  override readonly name = "AssertionRefused";

  constructor(readonly reason: RefusalReason) {
    super(`the assertion is refused: ${reason}`);
  }
}

/** Verifies an assertion; rejects with {@link AssertionRefused}, whose `reason` says what is wrong. */
export async function verifyAssertion(token: string, expected: AssertionExpectations): Promise<Assertion> {
  const [head, body, signature] = parts(token);
  const header = object(head, "header");
  // Written as the engine writes it: a member that comes twice is read differently by different readers.
  const written = Buffer.from(head, "base64url").toString("utf8") === JSON.stringify(header);
  if (!written || Object.keys(header).sort().join() !== "alg,kid,typ") throw new AssertionRefused("header");
  // Any other token of the engine's is no assertion, however well signed.
  if (header["typ"] !== "handoff+jwt") throw new AssertionRefused("typ");
  const algorithm = algorithmOf(header["alg"]);
  const key = keyOf(expected.jwks, header["kid"], algorithm);
  if (!algorithm.verify(key, Buffer.from(`${head}.${body}`, "ascii"), Buffer.from(signature, "base64url"))) {
    throw new AssertionRefused("signature");
  }
  const assertion = readClaims(object(body, "claims"), expected);
  if (await expected.seen(assertion.jti, assertion.expiresAt)) throw new AssertionRefused("replayed");
  return assertion;
}

/** Which assertions were used, for one process: bounded, since none needs to be remembered longer than it lives. */
export class SeenAssertions {
  readonly #capacity: number;
  readonly #now: () => number;
  readonly #expiries = new Map<string, number>();

  /** `now` gives the time in seconds. More assertions than `capacity` in half a minute are refused rather than forgotten. */
  constructor(now: () => number = () => Math.floor(Date.now() / 1000), capacity = 10_000) {
    this.#now = now;
    this.#capacity = capacity;
  }

  /** Whether `jti` was used before. Hand it over as `seen`. */
  readonly seen = (jti: string, expiresAt: number): boolean => {
    if (this.#expiries.has(jti)) return true;
    if (this.#expiries.size >= this.#capacity) this.#forget();
    if (this.#expiries.size >= this.#capacity) return true;
    this.#expiries.set(jti, expiresAt);
    return false;
  };

  #forget(): void {
    const now = this.#now();
    for (const [jti, expiresAt] of this.#expiries) {
      if (expiresAt <= now) this.#expiries.delete(jti);
    }
  }
}

/** One algorithm of our own list; whatever a token asks for besides is refused. */
interface Algorithm {
  readonly name: string;
  /** Whether a published key is of its kind. */
  readonly fits: (key: KeyObject) => boolean;
  readonly verify: (key: KeyObject, data: Buffer, signature: Buffer) => boolean;
}

const isRsa = (key: KeyObject): boolean => key.asymmetricKeyType === "rsa" && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048;
const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };

const ALGORITHMS: readonly Algorithm[] = [
  {
    name: "EdDSA",
    fits: (key) => key.asymmetricKeyType === "ed25519",
    verify: (key, data, signature) => verify(null, data, key, signature),
  },
  {
    name: "ES256",
    fits: (key) => key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1",
    verify: (key, data, signature) => verify("sha256", data, { key, dsaEncoding: "ieee-p1363" }, signature),
  },
  { name: "PS256", fits: isRsa, verify: (key, data, signature) => verify("sha256", data, { key, ...PSS }, signature) },
  { name: "RS256", fits: isRsa, verify: (key, data, signature) => verify("sha256", data, key, signature) },
];

function algorithmOf(name: unknown): Algorithm {
  const algorithm = ALGORITHMS.find((each) => each.name === name);
  if (!algorithm) throw new AssertionRefused("alg");
  return algorithm;
}

/** The one published key of that name, which must be for that algorithm: never the token's word alone. */
function keyOf(jwks: AssertionExpectations["jwks"], kid: unknown, algorithm: Algorithm): KeyObject {
  const [jwk, ...others] = jwks.keys.filter((each) => typeof kid === "string" && kid !== "" && each["kid"] === kid);
  if (!jwk || others.length > 0) throw new AssertionRefused("kid");
  if (jwk["alg"] !== algorithm.name || (jwk["use"] ?? "sig") !== "sig") throw new AssertionRefused("key");
  const key = published(jwk);
  if (!key || !algorithm.fits(key)) throw new AssertionRefused("key");
  return key;
}

function published(jwk: JsonWebKey): KeyObject | undefined {
  try {
    return createPublicKey({ key: jwk, format: "jwk" });
  } catch {
    return undefined;
  }
}

function readClaims(claims: Record<string, unknown>, expected: AssertionExpectations): Assertion {
  const { iss, aud, dst, nonce, iat, exp, jti, sub, sid, auth_time: authTime } = claims;
  if (iss !== expected.issuer) throw new AssertionRefused("iss");
  if (aud !== expected.appKey) throw new AssertionRefused("aud");
  if (dst !== expected.redirectUri) throw new AssertionRefused("dst");
  const hash = createHash("sha256").update(expected.state, "ascii").digest("base64url");
  if (expected.state === "" || nonce !== hash) throw new AssertionRefused("nonce");
  if (!isTime(iat) || !isTime(exp) || !isTime(authTime) || !isId(jti) || !isId(sub) || !isId(sid)) {
    throw new AssertionRefused("claims");
  }
  if (exp - iat > LONGEST_LIFE_SECONDS || exp <= iat) throw new AssertionRefused("lifetime");
  // Also where `now` is no number.
  if (!(exp > expected.now)) throw new AssertionRefused("expired");
  if (iat > expected.now + LEEWAY_SECONDS) throw new AssertionRefused("not_yet_valid");
  return { sub, sid, authTime, jti, issuedAt: iat, expiresAt: exp };
}

/** Three parts of base64url, each in its one spelling. */
function parts(token: unknown): [head: string, body: string, signature: string] {
  if (typeof token !== "string" || token.length > LONGEST_TOKEN) throw new AssertionRefused("malformed");
  const [head, body, signature, ...others] = token.split(".");
  const canonical = (part: string | undefined): part is string =>
    part !== undefined && part !== "" && Buffer.from(part, "base64url").toString("base64url") === part;
  if (others.length > 0 || !canonical(head) || !canonical(body) || !canonical(signature)) throw new AssertionRefused("malformed");
  return [head, body, signature];
}

function object(part: string, what: "header" | "claims"): Record<string, unknown> {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(part, "base64url"));
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new AssertionRefused(what);
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isId(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= LONGEST_ID;
}
