// Requests exactly as written: node:http with headers as a list, so that doubled headers and hostile cookies travel as they are.

import assert from "node:assert/strict";
import { request } from "node:http";
import { createServer } from "node:net";

/** No answer that a case waits for may take longer, in milliseconds. */
export const PATIENCE = 10_000;

/** The origin of the app that listens at a port: a redirect may name it or leave it out, as its server likes. */
export const origins = new Map();

/** Sends one request to a port of this machine. `headers` is a list of pairs; nothing is added but what HTTP itself needs. */
export function send(port, { method = "GET", path = "/", headers = [], body }) {
  const lines = [...headers, ["Connection", "close"]];
  if (body !== undefined) lines.push(["Content-Length", String(Buffer.byteLength(body))]);
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(PATIENCE);
    const options = { host: "127.0.0.1", port, method, path, headers: lines.flat(), setHost: false, agent: false, signal };
    const call = request(options, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => resolve(new Answer(response, Buffer.concat(chunks).toString(), origins.get(port))));
    });
    call.on("error", reject);
    call.end(body);
  });
}

/** What came back. */
class Answer {
  constructor(response, body, origin) {
    this.origin = origin;
    this.status = response.statusCode;
    this.lines = response.rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [[name.toLowerCase(), response.rawHeaders[at + 1]]] : []));
    this.body = body;
  }

  /** The value of a header, "" if it is not there; several lines of it are an error, except for cookies. */
  header(name) {
    const values = this.lines.filter(([found]) => found === name).map(([, value]) => value);
    assert.ok(values.length <= 1, `one ${name} header in ${JSON.stringify(values)}`);
    return values[0] ?? "";
  }

  get location() {
    assert.equal(this.status, 303, this.toString());
    const location = this.header("location");
    return this.origin !== undefined && location.startsWith(`${this.origin}/`) ? location.slice(this.origin.length) : location;
  }

  get json() {
    return JSON.parse(this.body);
  }

  /** All `Set-Cookie` lines for this name. */
  setCookies(name) {
    const values = this.lines.filter(([found]) => found === "set-cookie").map(([, value]) => value);
    return values.filter((line) => line.startsWith(`${name}=`));
  }

  /** The value that this answer sets a cookie to. */
  cookie(name) {
    const set = this.setCookies(name).filter((line) => !line.includes("Max-Age=0"));
    assert.equal(set.length, 1, `${name} is set once by ${this}`);
    return /^[^=]+=([^;]*)/.exec(set[0])[1];
  }

  /** The value of a hidden form field. */
  field(name) {
    const tag = this.body.match(/<input[^>]*>/g)?.find((input) => input.includes(`name="${name}"`));
    assert.ok(tag, `a field ${name} in ${this}`);
    return unescaped(/value="([^"]*)"/.exec(tag)[1]);
  }

  toString() {
    return `${this.status} ${JSON.stringify(this.lines)}\n${this.body.slice(0, 2000)}`;
  }
}

export function unescaped(text) {
  return text.replaceAll("&quot;", '"').replaceAll("&#34;", '"').replaceAll("&#39;", "'").replaceAll("&#38;", "&").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

/** A `Cookie` header of these pairs; none for none. */
export function cookieHeader(pairs) {
  return pairs.length === 0 ? [] : [["Cookie", pairs.map(([name, value]) => `${name}=${value}`).join("; ")]];
}

/** A port that is free now. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Asks until the answer is yes; fails when it still is no after so many milliseconds. */
export async function eventually(what, milliseconds, probe) {
  const began = Date.now();
  for (let last = await probe(); last !== true; last = await probe()) {
    assert.ok(Date.now() - began < milliseconds, `${what} within ${milliseconds} ms; instead: ${last}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
