// Setting the SDK up: everything that could be wrong is found at start, not at the first request.

import { type Clock, systemClock } from "./clock.js";
import { type Address, Engine } from "./engine.js";
import { type Log, logToStandardError } from "./log.js";
import { Memory } from "./memory.js";
import { type Origin, parseOrigin } from "./origin.js";
import { type Sealer, makeSealer } from "./sealer.js";
import { SignOutRetries } from "./retries.js";
import { SecretKey } from "./secret.js";
import { localDestination } from "./visit.js";

/** A pass lives for 15 minutes; nobody is let in on an older word. */
const LONGEST_GRACE_MILLISECONDS = 15 * 60 * 1000;
/** Host-only by its prefix (protocol §2). */
const BOUND_PASS = "__Host-Http-hallpass-pass";
const WORD = /^[A-Za-z0-9_-]+$/;

/** What an application says about itself and its engine. */
export interface Options {
  /** The engine's public address, its issuer: `https://auth.company.com`. */
  readonly engine: string;
  /** What the engine issued for this application. */
  readonly appKey: string;
  /** Its secret key; see `fromFile`, `fromEnv` and `fromCommand`. */
  readonly secretKey: string | SecretKey;
  /** Secret keys that were replaced: they still open this app's own cookies, so that nobody is asked again. Never shown to the engine. */
  readonly previousSecretKeys?: ReadonlyArray<string | SecretKey>;
  /** The application's own public origin, `https://pos.company.com`: where people are is never read from `Host` or `X-Forwarded-*`. */
  readonly origin: string;
  /** Reaches the engine at this address, `10.0.0.5:7070` or `[::1]:7070`, under its public name: same scheme, host and certificate. */
  readonly connectTo?: string | undefined;
  /** The name of the pass's cookie, as configured at the engine. Default: `__Secure-hallpass-pass`. */
  readonly passCookie?: string | undefined;
  /** How long to wait for an answer of the engine, in milliseconds. Default: 2,000. */
  readonly timeout?: number | undefined;
  /**
   * For how long, in milliseconds, while the engine does not answer, requests that change nothing may be answered from its
   * last word about a session. Default: none. At most 15 minutes. A session ended in that time goes unnoticed.
   */
  readonly grace?: number | undefined;
  /**
   * What to do with the first pass seen in a browser (protocol §2). `trust`, the default: accept it; a hostile sibling host can
   * then show somebody the wrong account on their very first visit. `confirm`: show a page that names the person, once per
   * browser; for apps with money, health or power.
   */
  readonly firstContact?: "trust" | "confirm" | undefined;
  /**
   * What guards requests that may change something, besides the session (protocol §7). `origin`, the default: the origin rule,
   * and a CSRF token where one is presented. `token`: signed-in people's requests must carry a valid one.
   */
  readonly csrf?: "origin" | "token" | undefined;
  /**
   * Says which paths are open to anonymous visitors; who is signed in is still known there. Paths that could be read in two
   * ways (`/public/../admin`) are never open, whatever this says.
   */
  readonly optional?: ((path: string) => boolean) | undefined;
  /**
   * This app is its zone's agent (protocol §8): it serves `/.sso/…` and `/.well-known/sso-agent` and fetches passes from the engine
   * itself. For apps at another root domain, and for those to which a click is not enough. Set `agent = true` at the engine, too.
   */
  readonly agent?: boolean | undefined;
  /** The pass is for this host alone: no sibling receives it or can overwrite it. Implies `agent`; the app's zone must be `bound` at the engine. */
  readonly bound?: boolean | undefined;
  /**
   * With an agent: asks the engine once in ten minutes, by a redirect that nobody sees, whether an anonymous visitor of an open
   * page is signed in at home. Default: yes.
   */
  readonly discover?: boolean | undefined;
  /** The path to which people come after signing out. Default: the engine's receipt, which says what was signed out. */
  readonly afterSignOut?: string | undefined;
  /** How many passes to remember at most. Default: 10,000. */
  readonly remember?: number | undefined;
  /** Receives what operators should know. Default: warnings and errors on standard error. */
  readonly log?: Log | undefined;
  /** Another clock, for tests. */
  readonly clock?: Clock | undefined;
}

/** The options, checked, and what was made of them. */
export interface Setup {
  readonly engine: Engine;
  readonly memory: Memory;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly log: Log;
  readonly appKey: string;
  readonly origin: Origin;
  readonly passCookie: string;
  readonly grace: number;
  readonly firstContact: "trust" | "confirm";
  readonly csrf: "origin" | "token";
  readonly optional: (path: string) => boolean;
  readonly agent: boolean;
  readonly bound: boolean;
  readonly discover: boolean;
  /** Undefined: the engine's receipt. */
  readonly afterSignOut: string | undefined;
  readonly retries: SignOutRetries;
}

/** Checks the options; throws an error that names the mistake. Asks nothing of the engine, so an application can start before it. */
export function setUp(options: Options): Setup {
  const issuer = parseOrigin(text(options.engine));
  if (!issuer) throw mistake("the engine's URL must read https://host, as configured there as issuer", options.engine);
  const origin = parseOrigin(text(options.origin));
  if (!origin) throw mistake("the application's origin must read https://host, as people reach it", options.origin);
  const appKey = text(options.appKey);
  if (!WORD.test(appKey)) throw mistake("the app key must be letters, digits, - and _", options.appKey);
  const secrets = [options.secretKey, ...(options.previousSecretKeys ?? [])].map(asSecret);
  const [secret] = secrets;
  if (!secret || secrets.some((each) => each.expose() === "")) throw new Error("the secret key is empty");
  const { agent, bound, discover } = agentOptions(options);
  const passCookie = options.passCookie ?? (bound ? BOUND_PASS : "__Secure-hallpass-pass");
  if (bound && passCookie !== BOUND_PASS) throw mistake("a bound app's pass cookie has a fixed name; leave passCookie out", passCookie);
  if (!WORD.test(passCookie)) throw mistake("no cookie can be named so", passCookie);
  const { afterSignOut } = options;
  if (afterSignOut !== undefined && localDestination(text(afterSignOut)) !== afterSignOut) {
    throw mistake("after signing out, people can be sent to a path of this application only", afterSignOut);
  }
  const grace = between(0, options.grace ?? 0, LONGEST_GRACE_MILLISECONDS, "the grace, at most the 15 minutes that a pass lives,");
  const timeout = between(1, options.timeout ?? 2000, 60_000, "the timeout");
  const remember = between(1, options.remember ?? 10_000, 10_000_000, "the number of passes to remember");
  const firstContact = oneOf(["trust", "confirm"] as const, options.firstContact ?? "trust", "firstContact");
  const csrf = oneOf(["origin", "token"] as const, options.csrf ?? "origin", "csrf");
  const log = options.log ?? logToStandardError;
  const clock = options.clock ?? systemClock;
  const connectTo = options.connectTo === undefined ? undefined : address(options.connectTo);
  return {
    engine: new Engine({ issuer, connectTo, appKey, secret, host: origin.authority, timeout, log }),
    memory: new Memory(appKey, clock, remember),
    sealer: makeSealer(appKey, secrets),
    clock,
    log,
    appKey,
    origin,
    passCookie,
    grace,
    firstContact,
    csrf,
    optional: options.optional ?? (() => false),
    agent,
    bound,
    discover,
    afterSignOut,
    retries: new SignOutRetries(clock, log),
  };
}

/** What belongs together, without contradictions: half an agent would leave people between two hosts. */
function agentOptions(options: Options): { readonly agent: boolean; readonly bound: boolean; readonly discover: boolean } {
  const { agent, bound, discover } = options;
  for (const [name, value] of Object.entries({ agent, bound, discover })) {
    if (value !== undefined && typeof value !== "boolean") throw mistake(`${name} must be true or false`, value);
  }
  if (bound && agent === false) throw new Error("bound needs the agent: leave agent out or set it to true");
  const isAgent = agent === true || bound === true;
  if (discover && !isAgent) throw new Error("discover needs the agent: set agent to true, too");
  return { agent: isAgent, bound: bound === true, discover: isAgent && discover !== false };
}

function mistake(rule: string, text: unknown): Error {
  return new Error(`${rule}; it reads ${JSON.stringify(text)}`);
}

function asSecret(secret: string | SecretKey): SecretKey {
  return secret instanceof SecretKey ? secret : new SecretKey(text(secret));
}

/** What is said in JavaScript may be anything: whatever is no text is as if it had been left out. */
function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function between(least: number, number: number, most: number, what: string): number {
  if (!(number >= least && number <= most)) throw mistake(`${what} must be a number from ${least} to ${most}`, number);
  return number;
}

function oneOf<Word extends string>(words: readonly Word[], word: Word, what: string): Word {
  if (!words.includes(word)) throw mistake(`${what} must be ${words.join(" or ")}`, word);
  return word;
}

function address(from: string): Address {
  const [, bracketed, plain, port] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]/@\s]+)):(\d{1,5})$/.exec(from) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) throw mistake("connectTo must read address:port", from);
  return { host, port: Number(port) };
}
