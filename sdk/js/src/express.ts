// The adapter for node:http, and for whatever is made of it (Express, Connect, Polka): a middleware, without any dependency.

import type { IncomingMessage, ServerResponse } from "node:http";

import { type Admitted, additions, handle } from "./core.js";
import type { Setup } from "./options.js";
import * as pages from "./pages.js";
import { type Asked, type Form, formFields, isForgedIdentity, type HeaderLines } from "./request.js";
import { wantsPage } from "./visit.js";
import { introduce, refusalFor, visitorOf } from "./visitor.js";

/** What runs next, once somebody may pass. */
export type NodeHandler = (error?: unknown) => void;

/** A middleware: calls `next` for who may pass and answers everybody else itself. */
export type NodeMiddleware = (request: IncomingMessage, response: ServerResponse, next: NodeHandler) => void;

/** Lets nobody past whom the engine does not know. */
export function nodeMiddleware(setup: Setup): NodeMiddleware {
  return (request, response, next) => {
    stripIdentity(request);
    void handle(setup, describe(request)).then((outcome) => {
      // Whoever asked may have left meanwhile.
      if (response.destroyed) return;
      if (outcome.kind === "answer") {
        send(response, outcome.answer);
        return;
      }
      introduce(request, outcome.visitor);
      addToAnswer(response, outcome);
      next();
    });
  };
}

/** Demands a permission. Goes on routes behind {@link nodeMiddleware}; without it, nobody passes. */
export function nodeRequire(setup: Setup, permission: string): NodeMiddleware {
  return (request, response, next) => {
    const visitor = visitorOf(request);
    if (!visitor) {
      setup.log("error", "this route requires a permission but the Hallpass middleware does not cover it", { permission });
      send(response, pages.unavailable(wantsPage(headerLines(request))));
      return;
    }
    const refusal = refusalFor(visitor, permission);
    if (refusal) {
      setup.log("info", "permission missing", { permission, userId: visitor.caller?.userId });
      send(response, refusal);
      return;
    }
    next();
  };
}

function describe(request: IncomingMessage): Asked {
  // Routers take off the prefix that they are mounted at; Express keeps the original beside it.
  const { originalUrl } = request as { originalUrl?: unknown };
  return {
    method: request.method ?? "GET",
    target: typeof originalUrl === "string" ? originalUrl : (request.url ?? "/"),
    headers: headerLines(request),
    readForm: (limit) => readForm(request, limit),
  };
}

function headerLines(request: IncomingMessage): HeaderLines {
  const lines: [string, string][] = [];
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    lines.push([(request.rawHeaders[index] ?? "").toLowerCase(), request.rawHeaders[index + 1] ?? ""]);
  }
  // HTTP/2 has pseudo-headers beside the headers.
  return lines.filter(([name]) => !name.startsWith(":"));
}

/** Removes inbound headers that look like identity, in every form in which Node hands them on. */
function stripIdentity(request: IncomingMessage): void {
  // Asked for first: Node makes them of the raw ones when they are first looked at.
  const { headers, headersDistinct, rawHeaders } = request;
  const kept: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? "";
    if (!isForgedIdentity(name)) kept.push(name, rawHeaders[index + 1] ?? "");
  }
  if (kept.length === rawHeaders.length) return;
  rawHeaders.splice(0, rawHeaders.length, ...kept);
  for (const list of [headers, headersDistinct as NodeJS.Dict<string[]> | undefined]) {
    for (const name of Object.keys(list ?? {}).filter(isForgedIdentity)) delete list?.[name];
  }
}

/** Reads the form and, where its length was announced, puts its bytes back, so that the application can read them once more. */
async function readForm(request: IncomingMessage, limit: number): Promise<Form> {
  // A body parser came first: what it made of the body is all there is.
  const { body } = request as { body?: unknown };
  if (body !== undefined) return parsedAlready(body);
  const announced = request.headers["content-length"];
  const length = announced === undefined ? undefined : Number(announced);
  if (length === 0) return [];
  if (length !== undefined && length > limit) return "too_large";
  const bytes = await readAhead(request, length, limit);
  return bytes === "too_large" ? bytes : formFields(bytes.toString("utf8"));
}

function parsedAlready(body: unknown): Form {
  if (typeof body === "string" || Buffer.isBuffer(body)) return formFields(body.toString());
  if (typeof body !== "object" || body === null) return [];
  return Object.entries(body).flatMap(([name, value]): [string, string][] =>
    (Array.isArray(value) ? value : [value]).flatMap((each): [string, string][] =>
      typeof each === "string" ? [[name, each]] : [],
    ),
  );
}

/** The whole body, which stays in the stream if its `length` is known; or that it is larger than `limit`. */
function readAhead(request: IncomingMessage, length: number | undefined, limit: number): Promise<Buffer | "too_large"> {
  const chunks: Buffer[] = [];
  let count = 0;
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void): void => {
      request.off("readable", read);
      request.off("end", end);
      request.off("close", fail);
      request.off("error", fail);
      settle();
    };
    const fail = (): void => finish(() => reject(new Error("the request ended before its body")));
    const end = (): void => finish(() => resolve(Buffer.concat(chunks)));
    const read = (): void => {
      for (let chunk: Buffer | null; (chunk = request.read() as Buffer | null) !== null; ) {
        chunks.push(chunk);
        count += chunk.length;
        if (count > limit) {
          finish(() => resolve("too_large"));
          return;
        }
      }
      if (length === undefined || count < length) return;
      const bytes = Buffer.concat(chunks);
      finish(() => {
        // In the same turn, before the stream notices that it has ended.
        request.unshift(bytes);
        resolve(bytes);
      });
    };
    if (request.readableEnded || request.destroyed) {
      fail();
      return;
    }
    request.on("readable", read);
    request.on("end", end);
    request.on("close", fail);
    request.on("error", fail);
    read();
  });
}

function send(response: ServerResponse, answer: pages.Answer): void {
  response.statusCode = answer.status;
  const cookies = answer.headers.filter(([name]) => name === "Set-Cookie").map(([, value]) => value);
  for (const [name, value] of answer.headers) response.setHeader(name, value);
  if (cookies.length > 0) response.setHeader("Set-Cookie", cookies);
  response.end(answer.body);
}

/** What goes along with the application's answer is added at the last moment, when its own headers are known. */
function addToAnswer(response: ServerResponse, admitted: Admitted): void {
  const original = response.writeHead;
  let added = false;
  const writeHead = (status: number, ...rest: unknown[]): ServerResponse => {
    const message = typeof rest[0] === "string" ? rest[0] : undefined;
    if (!added) {
      added = true;
      setHeaders(response, rest[1] ?? (message === undefined ? rest[0] : undefined));
      const more = additions(admitted, headerText(response, "cache-control"), headerText(response, "vary"));
      if (more.cacheControl !== undefined) response.setHeader("Cache-Control", more.cacheControl);
      append(response, "Vary", more.vary === undefined ? [] : [more.vary]);
      append(response, "Set-Cookie", more.setCookies);
    }
    return Reflect.apply(original, response, message === undefined ? [status] : [status, message]) as ServerResponse;
  };
  response.writeHead = writeHead as typeof response.writeHead;
}

/** The headers that `writeHead` was given, in any of the forms that it takes. */
function setHeaders(response: ServerResponse, headers: unknown): void {
  if (!Array.isArray(headers)) {
    for (const [name, value] of Object.entries(headers ?? {})) {
      if (value !== undefined) response.setHeader(name, value as string | string[]);
    }
    return;
  }
  const pairs = Array.isArray(headers[0]) ? (headers as [string, string][]) : paired(headers as string[]);
  for (const [name] of pairs) response.removeHeader(name);
  for (const [name, value] of pairs) append(response, name, [value].flat());
}

function paired(flat: readonly string[]): [string, string][] {
  return flat.flatMap((name, index): [string, string][] => (index % 2 === 0 ? [[name, flat[index + 1] ?? ""]] : []));
}

function append(response: ServerResponse, name: string, values: readonly string[]): void {
  if (values.length === 0) return;
  const present = response.getHeader(name);
  const before = present === undefined ? [] : [present].flat().map(String);
  const all = [...before, ...values];
  response.setHeader(name, all.length === 1 && all[0] !== undefined ? all[0] : all);
}

function headerText(response: ServerResponse, name: string): string | undefined {
  const value = response.getHeader(name);
  return value === undefined ? undefined : [value].flat().join(", ");
}
