// The adapter for servers that speak the Fetch standard (Hono, Next, Bun, Deno): from Request to Response.

import { type Admitted, additions, handle } from "./core.js";
import type { Setup } from "./options.js";
import * as pages from "./pages.js";
import { type Asked, type Form, formFields, isForgedIdentity } from "./request.js";
import { wantsPage } from "./visit.js";
import { introduce, refusalFor, visitorOf } from "./visitor.js";

/** A handler of such a server; `rest` is whatever else the server hands to it. */
export type FetchHandler<Rest extends unknown[]> = (request: Request, ...rest: Rest) => Response | Promise<Response>;

/** Lets nobody past whom the engine does not know. */
export function fetchAdapter<Rest extends unknown[]>(
  setup: Setup,
  handler: FetchHandler<Rest>,
): (request: Request, ...rest: Rest) => Promise<Response> {
  return async (received, ...rest) => {
    const body = new ReadAhead(received);
    const outcome = await handle(setup, describe(received, body));
    if (outcome.kind === "answer") return responseOf(setup, outcome.answer);
    const request = forApplication(received, body);
    introduce(request, outcome.visitor);
    return added(await handler(request, ...rest), outcome);
  };
}

/** Demands a permission. Goes around handlers inside {@link fetchAdapter}; without it, nobody passes. */
export function fetchRequire<Rest extends unknown[]>(
  setup: Setup,
  permission: string,
  handler: FetchHandler<Rest>,
): (request: Request, ...rest: Rest) => Promise<Response> {
  return async (request, ...rest) => {
    const visitor = visitorOf(request);
    if (!visitor) {
      setup.log("error", "this route requires a permission but the Hallpass handler does not cover it", { permission });
      return responseOf(setup, pages.unavailable(wantsPage([...request.headers])));
    }
    const refusal = refusalFor(visitor, permission);
    if (!refusal) return handler(request, ...rest);
    setup.log("info", "permission missing", { permission, userId: visitor.caller?.userId });
    return responseOf(setup, refusal);
  };
}

/** A request's body, of which the beginning may have been read to look for a token. */
class ReadAhead {
  readonly #request: Request;
  #bytes: Uint8Array | undefined;

  constructor(request: Request) {
    this.#request = request;
  }

  async form(limit: number): Promise<Form> {
    if (this.#request.bodyUsed) throw new Error("the body has been read by somebody else");
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of (this.#request.body ?? []) as AsyncIterable<Uint8Array>) {
      length += chunk.length;
      if (length > limit) return "too_large";
      chunks.push(chunk);
    }
    this.#bytes = Buffer.concat(chunks);
    return formFields(new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.#bytes));
  }

  get wasRead(): boolean {
    return this.#bytes !== undefined;
  }

  /** All of it, for whoever comes next. */
  whole(): Uint8Array | ReadableStream | null {
    return this.#bytes ?? this.#request.body;
  }
}

function describe(request: Request, body: ReadAhead): Asked {
  return {
    method: request.method,
    target: request.url,
    headers: [...request.headers],
    readForm: (limit) => body.form(limit),
  };
}

/** The same request, without inbound headers that look like identity, its body whole. */
function forApplication(request: Request, body: ReadAhead): Request {
  const forged = [...request.headers.keys()].filter(isForgedIdentity);
  // Frameworks hang things on their own requests: where nothing has to be changed, the application gets the very one.
  if (forged.length === 0 && !body.wasRead) return request;
  const headers = new Headers(request.headers);
  for (const name of forged) headers.delete(name);
  const { method, signal, redirect } = request;
  const whole = method === "GET" || method === "HEAD" ? null : body.whole();
  const init: RequestInit & { duplex: "half" } = { method, headers, signal, redirect, body: whole, duplex: "half" };
  return new Request(request.url, init);
}

/** Redirects are absolute: some of these servers, Next among them, resolve a `Location` themselves and fail on a path. */
function responseOf(setup: Setup, answer: pages.Answer): Response {
  const headers = new Headers();
  for (const [name, value] of answer.headers) {
    headers.append(name, name.toLowerCase() === "location" ? new URL(value, setup.origin.text).href : value);
  }
  return new Response(answer.body === "" ? null : answer.body, { status: answer.status, headers });
}

function added(response: Response, admitted: Admitted): Response {
  // A protocol switch has no headers to add to, and no Response can be made of it.
  if (response.status < 200) return response;
  const headers = new Headers(response.headers);
  const more = additions(admitted, headers.get("cache-control") ?? undefined, headers.get("vary") ?? undefined);
  if (more.cacheControl !== undefined) headers.set("cache-control", more.cacheControl);
  if (more.vary !== undefined) headers.append("vary", more.vary);
  for (const line of more.setCookies) headers.append("set-cookie", line);
  const { status, statusText, body } = response;
  return new Response(body, { status, statusText, headers });
}
