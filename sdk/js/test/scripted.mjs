// What tests of the agent stand on: an engine that says whatever a case needs, an app before it, and browsers that keep cookies.

import { createHash } from "node:crypto";
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after } from "node:test";

import { callerOf, Hallpass, signInUrlOf } from "../dist/index.js";

export const PASS = "__Secure-hallpass-pass";
export const BOUND_PASS = "__Host-Http-hallpass-pass";
export const SEEN = "__Host-Http-hallpass-seen";
export const BOUNCE = "__Host-Http-hallpass-bounce";
export const NOBODY = "__Host-Http-hallpass-nobody";
export const TRANSACTION = "__Host-Http-hallpass-tx-";
export const BORN = 1_800_000_000;
export const ORIGIN = "http://pos.company2.localhost:7070";

const endings = [];
after(() => Promise.all(endings.map((ending) => ending())));

const sha256 = (data) => createHash("sha256").update(data).digest("base64url");

/** An engine with passes, codes and sessions; `trouble[path]` answers instead of it. */
export async function engine() {
  const fake = { passes: new Map(), codes: new Map(), asked: [], redeemed: [], signedOut: [], continueAt: "/receipt?id=1", trouble: {} };
  const routes = {
    "/introspect": (body, response) => {
      const question = JSON.parse(body);
      fake.asked.push(question);
      const answers = (question.tokens ?? [question.token]).map((token) => fake.passes.get(token) ?? { active: false });
      response.end(JSON.stringify(question.tokens ? { results: answers } : answers[0]));
    },
    "/handoff/token": (body, response, request) => {
      assert.equal(request.headers["content-type"], "application/x-www-form-urlencoded");
      fake.redeemed.push(body);
      const { code, redirect_uri: uri, code_verifier: verifier } = Object.fromEntries(new URLSearchParams(body));
      const issued = fake.codes.get(code);
      if (!issued || issued.redirectUri !== uri || issued.challenge !== sha256(verifier)) {
        return response.writeHead(400).end('{"error":"invalid_grant"}');
      }
      response.end(JSON.stringify({ assertion: "a.b.c", set_cookie: issued.setCookie, envelope: issued.envelope, return_to: issued.returnTo ?? null }));
    },
    "/api/v1/sign-out": (body, response) => {
      fake.signedOut.push(JSON.parse(body));
      if (fake.continueAt === undefined) return response.writeHead(204).end();
      response.end(JSON.stringify({ signed_out: true, continue_at: fake.continueAt.startsWith("/") ? fake.url + fake.continueAt : fake.continueAt }));
    },
  };
  const server = createServer(async (request, response) => {
    if (request.url.startsWith("/api/v1/changes")) {
      if (fake.silent) return response.writeHead(503).end();
      return response.writeHead(200, { "content-type": "text/event-stream" }).write(":\n\n");
    }
    let text = "";
    for await (const chunk of request) text += chunk;
    const route = routes[request.url];
    if (!route) return response.writeHead(503).end();
    assert.equal(request.headers.authorization, `Basic ${Buffer.from("pos:hp_sk_one").toString("base64")}`);
    if (fake.trouble[request.url]) return fake.trouble[request.url](response, request, text);
    route(text, response, request);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  endings.push(() => (server.closeAllConnections(), server.close()));
  const { port } = server.address();
  fake.url = `http://auth.company.localhost:${port}`;
  fake.connectTo = `127.0.0.1:${port}`;
  fake.envelope = (sid, username, more = {}) => ({
    active: true, token_type: "pass", iss: fake.url, client_id: "pos", sub: `u_${username}`, sid, username, auth_time: BORN, acr: "aal1", amr: ["pwd"],
    iat: BORN, exp: BORN + 900, roles: [], permissions: ["canCreateOrder"], attributes: {}, version: "1", cache_for: 0, csrf_token: "t", set_cookie: null, ...more,
  });
  fake.signIn = (pass, sid, username, more) => fake.passes.set(pass, fake.envelope(sid, username, more));
  fake.line = (pass, name = PASS) =>
    name === PASS
      ? `${PASS}=${pass}; Domain=company2.localhost; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax; Priority=High`
      : `${name}=${pass}; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax; Priority=High`;
  /** What `/handoff/authorize` answers for somebody with this pass; the address of the callback. */
  fake.handsOver = (location, pass, more = {}) => {
    const query = asksForCode(location);
    const code = `hp_hc_${fake.codes.size}`;
    fake.codes.set(code, {
      redirectUri: query.redirect_uri, challenge: query.code_challenge, envelope: fake.passes.get(pass), setCookie: fake.line(pass), returnTo: query.return_to, ...more,
    });
    return callbackUrl(query.state, { code });
  };
  fake.refuses = (location, error = "login_required") => callbackUrl(asksForCode(location).state, { error });
  const callbackUrl = (state, result) => `/.sso/callback?${new URLSearchParams({ ...result, state, iss: fake.url })}`;
  const asksForCode = (location) => {
    assert.ok(location.startsWith(`${fake.url}/handoff/authorize?`), location);
    return Object.fromEntries(new URL(location).searchParams);
  };
  return fake;
}

/** An app with an agent, whose clock stands until told otherwise. */
export function app(fake, options = {}) {
  let milliseconds = 0;
  const timers = new Set();
  const said = [];
  const clock = {
    monotonic: () => milliseconds,
    unixSeconds: () => BORN + Math.floor(milliseconds / 1000),
    after: (pause, act) => {
      const timer = { at: milliseconds + pause, act };
      timers.add(timer);
      return () => timers.delete(timer);
    },
  };
  const hallpass = new Hallpass({
    engine: fake.url, connectTo: fake.connectTo, appKey: "pos", secretKey: "hp_sk_one", origin: ORIGIN, timeout: 300, agent: true,
    log: (level, message, details) => said.push(`${level} ${message} ${JSON.stringify(details)}`),
    optional: (path) => path.startsWith("/public"), clock, ...options,
  });
  endings.push(() => hallpass.close());
  const require = hallpass.requireFetch("canRefund", () => new Response("refunded"));
  const handler = hallpass.fetchHandler((request) => {
    if (new URL(request.url).pathname === "/public/refunds") return require(request);
    return new Response(`${callerOf(request)?.username ?? "anonymous"} ${signInUrlOf(request)}`);
  });
  const made = { hallpass, handler, said, timers, now: () => milliseconds };
  /** Time passes, and what is due begins. */
  made.advance = (by) => {
    milliseconds += by;
    for (const timer of [...timers].filter(({ at }) => at <= milliseconds)) {
      timers.delete(timer);
      timer.act();
    }
  };
  made.browser = (cookies) => new Browser(made, cookies);
  /** Sends exactly these headers. */
  made.send = (path, headers, init = {}) => handler(new Request(ORIGIN + path, { ...init, headers, redirect: "manual" }));
  return made;
}

const NAVIGATION = { "sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "user-agent": "Mozilla/5.0 Firefox/153.0" };
const FORM = { ...NAVIGATION, "sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded" };

/** A browser that keeps what it is told to keep, and nothing of `deaf`. */
export class Browser {
  constructor(made, cookies = {}) {
    Object.assign(this, { made, jar: new Map(Object.entries(cookies)), deaf: [] });
  }

  visit(path, more = {}) {
    return this.#send(path, { ...NAVIGATION, ...more });
  }

  fetch(path, more = {}) {
    return this.#send(path, { "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", ...more });
  }

  submit(path, body = "a=1", more = {}) {
    return this.#send(path, { ...FORM, "content-length": String(body.length), ...more }, { method: "POST", body });
  }

  async #send(path, headers, init) {
    const cookie = [...this.jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const answer = await this.made.send(path, { ...(cookie && { cookie }), ...headers }, init);
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (this.deaf.some((prefix) => name.startsWith(prefix))) continue;
      if (line.includes("Max-Age=0")) this.jar.delete(name);
      else this.jar.set(name, value);
    }
    return answer;
  }

  /** The names of the handoffs under way. */
  get transactions() {
    return [...this.jar.keys()].filter((name) => name.startsWith(TRANSACTION));
  }
}

/** Where an answer leads; within the app, the path alone. */
export function leadsTo(answer) {
  assert.equal(answer.status, 303, `${answer.status} ${[...answer.headers]}`);
  assert.equal(answer.headers.get("cache-control"), "no-store");
  const location = answer.headers.get("location");
  return location.startsWith(`${ORIGIN}/`) ? location.slice(ORIGIN.length) : location;
}

/** The cookies that an answer sets or removes under a name. */
export const cookieLines = (answer, name) => answer.headers.getSetCookie().filter((line) => line.startsWith(name));

/** Lets what is under way go on until it is so. */
export async function until(what, probe) {
  const began = Date.now();
  while (!probe()) {
    assert.ok(Date.now() - began < 5000, what);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
