// Calls to the engine, authenticated as this app with HTTP Basic (protocol §4, §5, §9). Whatever goes wrong here is Away and
// becomes 503: never an anonymous visitor, never an allowed one.

import * as http from "node:http";
import * as https from "node:https";
import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";

import type { Log } from "./log.js";
import type { Origin } from "./origin.js";
import type { SecretKey } from "./secret.js";
import { type Question, type Redeemed, type WireAnswer, questionBody, readAnswers, readContinueAt, readRedeemed, Unusable } from "./wire.js";

/** Three envelopes of 16 KB of permissions each, and room for names. */
const LARGEST_ANSWER = 256 * 1024;
/** So many questions travel at once; more wait their turn, at most until their time-out. */
const MOST_CONNECTIONS = 128;
/** No engine asks for more patience than this. */
const LONGEST_RETRY_AFTER_SECONDS = 300;

/**
 * The engine could not be asked. `unreachable`: it does not answer, or says that it cannot; passes, and a declared grace
 * applies. `misconfigured`: it refuses this app or talks another language; does not pass by itself, no grace.
 */
export type Away =
  | { readonly away: "unreachable"; readonly retryAfterSeconds?: number | undefined }
  | { readonly away: "misconfigured" };

/** Where a host is reached, if not by its own name and port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** The engine does not accept a handoff's code: used, too old, or of another browser's transaction. */
export type Refused = { readonly refused: true };

/** Tells an answer from the lack of one. */
export function isAway(value: object | undefined): value is Away {
  return value !== undefined && "away" in value;
}

/** The engine, as this app reaches it. */
export class Engine {
  /** The origin people see. */
  readonly public: Origin;
  readonly #address: Address;
  readonly #appKey: string;
  readonly #secret: SecretKey;
  readonly #host: string;
  readonly #timeout: number;
  readonly #log: Log;
  readonly #agent: http.Agent;

  /** `issuer` is the engine's public origin; with `connectTo`, it is reached there under its own name and certificate. */
  constructor(settings: {
    readonly issuer: Origin;
    readonly connectTo: Address | undefined;
    readonly appKey: string;
    readonly secret: SecretKey;
    readonly host: string;
    readonly timeout: number;
    readonly log: Log;
  }) {
    this.public = settings.issuer;
    this.#address = settings.connectTo ?? { host: settings.issuer.host, port: settings.issuer.port };
    this.#appKey = settings.appKey;
    this.#secret = settings.secret;
    this.#host = settings.host;
    this.#timeout = settings.timeout;
    this.#log = settings.log;
    // Our own, so that no proxy of the environment and no setting of the application's global agent applies.
    this.#agent = new (settings.issuer.secure ? https.Agent : http.Agent)({
      keepAlive: true,
      maxSockets: MOST_CONNECTIONS,
      maxFreeSockets: 16,
    });
  }

  /** Asks about passes; one answer for each. */
  async introspect(question: Question): Promise<readonly WireAnswer[] | Away> {
    const reply = await this.#call("introspection", "/introspect", questionBody(question, this.#host));
    if (isAway(reply)) return reply;
    return this.#usable("introspection", () => readAnswers(reply.body, question, this.#parties));
  }

  /** Exchanges a handoff's code for whom it stands for (protocol §8 number 4; RFC 6749 §4.1.3, RFC 7636 §4.5). */
  async redeem(code: string, redirectUri: string, verifier: string): Promise<Redeemed | Refused | Away> {
    const form = new URLSearchParams({ code, redirect_uri: redirectUri, code_verifier: verifier });
    const reply = await this.#call("handoff", "/handoff/token", form.toString(), {
      contentType: "application/x-www-form-urlencoded",
      // The engine answers an identical retry within ten seconds identically; later it is the second use of a code.
      retryBroken: true,
      also: 400,
    });
    if (isAway(reply)) return reply;
    if (reply.status === 400) return { refused: true };
    return this.#usable("handoff", () => readRedeemed(reply.body, this.#parties));
  }

  /** Ends a session, in every app; says where the person reads what was signed out, if the engine has such a place. */
  async signOut(sessionId: string, userId: string): Promise<{ readonly continueAt: string | undefined } | Away> {
    const reply = await this.#call("sign-out", "/api/v1/sign-out", JSON.stringify({ sid: sessionId, sub: userId }));
    if (isAway(reply)) return reply;
    // It is done, whatever else the answer says: an older engine's says nothing.
    if (reply.body.length === 0) return { continueAt: undefined };
    const read = this.#usable("sign-out", () => ({ continueAt: readContinueAt(reply.body, this.public.text) }));
    return isAway(read) ? { continueAt: undefined } : read;
  }

  /** Opens the change stream after `cursor`; the answer's body is the stream. */
  async changes(cursor: string | undefined, abort: AbortSignal): Promise<http.IncomingMessage | Away> {
    const path = `/api/v1/changes${cursor === undefined ? "" : `?${new URLSearchParams({ since: cursor }).toString()}`}`;
    const request = this.#request("GET", path, { accept: "text/event-stream" }, { agent: false, signal: abort });
    // Listening keeps no process alive that has nothing else to do.
    request.on("socket", (socket) => socket.unref());
    const giveUp = setTimeout(() => request.destroy(new Error("it took too long")), this.#timeout).unref();
    request.end();
    try {
      const response = await answered(request);
      if (response.statusCode === 200 && response.headers["content-type"]?.startsWith("text/event-stream")) return response;
      response.destroy();
      return this.#refused("change stream", response);
    } catch (error) {
      return abort.aborted ? { away: "unreachable" } : this.#unreachable("change stream", error);
    } finally {
      clearTimeout(giveUp);
    }
  }

  /** Lets go of idle connections. */
  close(): void {
    this.#agent.destroy();
  }

  get #parties(): { readonly issuer: string; readonly appKey: string } {
    return { issuer: this.public.text, appKey: this.#appKey };
  }

  #usable<Answer>(what: string, read: () => Answer): Answer | Away {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      this.#log("error", `the engine's ${what} answer cannot be used`, { fault: error.message });
      return { away: "misconfigured" };
    }
  }

  async #call(what: string, path: string, body: string, how: How = {}): Promise<Reply | Away> {
    const deadline = AbortSignal.timeout(this.#timeout);
    for (let attempt = 1; ; attempt += 1) {
      const headers = { "content-type": how.contentType ?? "application/json", "content-length": String(Buffer.byteLength(body)) };
      const request = this.#request("POST", path, headers, { agent: this.#agent, signal: deadline });
      request.end(body);
      try {
        const response = await answered(request);
        const status = response.statusCode ?? 0;
        if ((status < 200 || status > 299) && status !== how.also) {
          response.resume();
          return this.#refused(what, response);
        }
        const bytes = await collected(response, LARGEST_ANSWER);
        if (bytes) return { status, body: bytes };
        this.#log("error", "the engine's answer is larger than any answer it gives", { what });
        return { away: "misconfigured" };
      } catch (error) {
        // An idle connection that the engine closed while we wrote: nobody read the question, and asking twice is harmless.
        const broken = ["ECONNRESET", "EPIPE"].includes((error as NodeJS.ErrnoException).code ?? "");
        if (!broken || !(request.reusedSocket || how.retryBroken) || attempt > 1) return this.#unreachable(what, error);
      }
    }
  }

  #request(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    how: { readonly agent: http.Agent | false; readonly signal: AbortSignal },
  ): http.ClientRequest {
    const credentials = Buffer.from(`${this.#appKey}:${this.#secret.expose()}`).toString("base64");
    const options: https.RequestOptions = {
      ...how,
      method,
      path,
      host: this.#address.host,
      port: this.#address.port,
      headers: {
        ...headers,
        // Its public name, also where another address is dialled: the engine answers 421 to any other.
        host: this.public.authority,
        authorization: `Basic ${credentials}`,
        "user-agent": "hallpass-client-js/0.1.0",
      },
      checkServerIdentity: (_, certificate) => checkServerIdentity(this.public.host, certificate),
    };
    if (!this.public.secure) return http.request(options);
    // Server names are names (RFC 6066 §3).
    return https.request(isIP(this.public.host) === 0 ? { ...options, servername: this.public.host } : options);
  }

  #unreachable(what: string, error: unknown): Away {
    const { code, name } = error as NodeJS.ErrnoException;
    this.#log("warn", "the engine does not answer", { what, reason: code ?? name });
    return { away: "unreachable" };
  }

  #refused(what: string, response: http.IncomingMessage): Away {
    const status = response.statusCode ?? 0;
    if (status === 429 || status >= 500) {
      const asked = response.headers["retry-after"] ?? "";
      this.#log("warn", "the engine cannot answer now", { what, status });
      const seconds = /^\d{1,9}$/.test(asked) ? Math.min(Number(asked), LONGEST_RETRY_AFTER_SECONDS) : undefined;
      return { away: "unreachable", retryAfterSeconds: seconds };
    }
    const hint = HINTS[status] ?? "is this address the engine's?";
    this.#log("error", "the engine refuses this app: nobody can use it until this is corrected", { what, status, hint });
    return { away: "misconfigured" };
  }
}

/** What is special about a call. */
interface How {
  readonly contentType?: string;
  /** Ask once more when the connection broke after it was opened. */
  readonly retryBroken?: boolean;
  /** A status besides 2xx that says something to whoever called. */
  readonly also?: number;
}

interface Reply {
  readonly status: number;
  readonly body: Uint8Array;
}

const HINTS: Readonly<Record<number, string>> = {
  400: "the engine does not accept the request; is this app's host registered?",
  401: "app key or secret key is wrong, or the secret key has expired",
  421: "the engine is not known under this host name",
};

/** The beginning of the answer. Later faults of the connection reach whoever reads the body. */
function answered(request: http.ClientRequest): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.on("response", resolve);
    request.on("error", reject);
  });
}

/** The whole body, or undefined if it is larger than `limit`. */
async function collected(response: http.IncomingMessage, limit: number): Promise<Uint8Array | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    // Leaving the loop closes the connection.
    if (length > limit) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
