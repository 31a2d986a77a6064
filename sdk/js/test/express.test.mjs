// The adapter for node:http: bodies arrive whole whoever reads them, and what is added reaches answers however they are written.

import assert from "node:assert/strict";
import { createServer, request as httpRequest } from "node:http";
import { after, before, test } from "node:test";

import { callerOf, Hallpass, signInUrlOf } from "../dist/index.js";

const ORIGIN = "https://pos.company.com";
const bounce = "__Host-Http-hallpass-bounce";

let hallpass;
let server;
let route; // what the application does with a request that was let through
let earlier; // what runs before the middleware
const said = [];

before(async () => {
  hallpass = new Hallpass({
    engine: "http://auth.company.localhost:9", connectTo: "127.0.0.1:9", appKey: "pos", secretKey: "hp_sk_one", origin: ORIGIN,
    optional: (path) => path.startsWith("/public/"), log: (level, message) => said.push(message),
  });
  const guard = hallpass.express();
  server = createServer(async (request, response) => {
    await earlier?.(request);
    guard(request, response, () => route(request, response));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
});

after(() => {
  hallpass.close();
  server.close();
});

function send(path, { method = "GET", headers = [], body, pieces } = {}) {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port: server.address().port, method, path, agent: false, setHost: false, signal: AbortSignal.timeout(5000) };
    const call = httpRequest({ ...options, headers: ["Host", "x", "Sec-Fetch-Site", "same-origin", ...headers] }, async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode, headers: response.headers, body: text });
    });
    call.on("error", reject);
    if (!pieces) return call.end(body);
    const next = (at) => (at < pieces.length ? call.write(pieces[at], () => setImmediate(next, at + 1)) : call.end());
    next(0);
  });
}

const form = (body) => ["Content-Type", "application/x-www-form-urlencoded", "Content-Length", String(Buffer.byteLength(body))];

const readers = {
  "by events": (request, done) => {
    let text = "";
    request.on("data", (chunk) => (text += chunk)).on("end", () => done(text));
  },
  "later, by events": (request, done) => setTimeout(() => readers["by events"](request, done), 20),
  "by iteration": async (request, done) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    done(text);
  },
  "by readable": (request, done) => {
    let text = "";
    request.on("readable", () => {
      for (let chunk; (chunk = request.read()) !== null; ) text += chunk;
    });
    request.on("end", () => done(text));
  },
};

for (const [how, reader] of Object.entries(readers)) {
  test(`a form arrives whole when read ${how}`, async () => {
    route = (request, response) => reader(request, (text) => response.end(text));
    const large = `a=${"x".repeat(60_000)}`;
    for (const body of ["", "a=1", "a=1&csrf_token=t", large]) {
      assert.equal((await send("/public/", { method: "POST", headers: form(body), body })).body, body, `${body.length} bytes`);
    }
    const pieces = ["a=", "1&b", "=2", "&c=3"];
    assert.equal((await send("/public/", { method: "POST", headers: form(pieces.join("")), pieces })).body, pieces.join(""));
    const chunked = ["Content-Type", "application/x-www-form-urlencoded", "Transfer-Encoding", "chunked"];
    assert.equal((await send("/public/", { method: "POST", headers: chunked, pieces })).body, pieces.join(""), "of unknown length");
    const bytes = ["Content-Type", "application/octet-stream", "Content-Length", String(large.length)];
    assert.equal((await send("/public/", { method: "POST", headers: bytes, body: large })).body, large, "another type");
  });
}

test("a body parser may come first", async () => {
  earlier = (request) => new Promise((resolve) => readers["by events"](request, (text) => {
    request.body = Object.fromEntries(new URLSearchParams(text));
    resolve();
  }));
  route = (request, response) => response.end(JSON.stringify(request.body));
  const body = "a=1&csrf_token=t";
  assert.deepEqual(JSON.parse((await send("/public/", { method: "POST", headers: form(body), body })).body), { a: "1", csrf_token: "t" });
  earlier = undefined;
});

test("a body that somebody else has swallowed lets nobody pass", async () => {
  earlier = (request) => new Promise((resolve) => readers["by events"](request, resolve));
  route = (_, response) => response.end("passed");
  assert.equal((await send("/public/", { method: "POST", headers: form("a=1"), body: "a=1" })).status, 503);
  earlier = undefined;
});

test("what is added reaches the answer however it is written", async () => {
  const ways = {
    end: (response) => response.end("x"),
    "set and end": (response) => (response.setHeader("Vary", "Accept"), response.setHeader("Set-Cookie", ["a=1"]), response.end("x")),
    object: (response) => response.writeHead(201, { Vary: "Accept", "Set-Cookie": ["a=1", "b=2"] }).end("x"),
    "reason and object": (response) => response.writeHead(201, "Made", { Vary: "Accept", "Set-Cookie": "a=1" }).end("x"),
    "no reason and object": (response) => response.writeHead(201, undefined, { Vary: "Accept", "Set-Cookie": "a=1" }).end("x"),
    list: (response) => response.writeHead(201, ["Vary", "Accept", "Set-Cookie", "a=1", "Set-Cookie", "b=2"]).end("x"),
    flushed: (response) => (response.flushHeaders(), response.end("x")),
    written: (response) => (response.write("x"), response.end()),
  };
  const expected = {
    end: [200, "Cookie", undefined], "set and end": [200, "Accept, Cookie", ["a=1"]], object: [201, "Accept, Cookie", ["a=1", "b=2"]],
    "reason and object": [201, "Accept, Cookie", ["a=1"]], "no reason and object": [201, "Accept, Cookie", ["a=1"]],
    list: [201, "Accept, Cookie", ["a=1", "b=2"]], flushed: [200, "Cookie", undefined], written: [200, "Cookie", undefined],
  };
  for (const [name, way] of Object.entries(ways)) {
    route = (_, response) => way(response);
    const { status, headers, body } = await send("/public/");
    assert.deepEqual([status, headers.vary, headers["set-cookie"], body], [...expected[name], "x"], name);
  }
  route = (_, response) => response.writeHead(200, { Vary: "accept, COOKIE" }).end();
  assert.equal((await send("/public/")).headers.vary, "accept, COOKIE", "once is enough");
});

test("an anonymous visitor is nobody, and finds the way", async () => {
  route = (request, response) => response.end(JSON.stringify([callerOf(request) ?? null, signInUrlOf(request)]));
  const here = "http://auth.company.localhost:9/sign-in?app=pos&return_to=https%3A%2F%2Fpos.company.com%2Fpublic%2Fx";
  assert.deepEqual(JSON.parse((await send("/public/x", { headers: ["Accept", "text/html"] })).body), [null, here]);
  const refused = await send("/orders", { headers: ["Accept", "text/html"] });
  assert.equal(refused.status, 303);
  assert.match(refused.headers["set-cookie"][0], new RegExp(`^${bounce}=`));
});

test("the original address counts where a router has taken a prefix off", async () => {
  earlier = (request) => {
    request.originalUrl = request.url;
    request.url = "/public/x";
  };
  route = (_, response) => response.end("passed");
  const answer = await send("/admin/public/x", { headers: ["Accept", "text/html"] });
  assert.match(answer.headers.location, /return_to=https%3A%2F%2Fpos.company.com%2Fadmin%2Fpublic%2Fx$/);
  earlier = undefined;
});

test("identity from outside arrives in no form", async () => {
  route = (request, response) => response.end(JSON.stringify([request.headers, request.headersDistinct, request.rawHeaders]));
  const { body } = await send("/public/", { headers: ["X-Hallpass-User", "admin", "x_hallpass_roles", "admin", "X-Hallpass", "admin", "X-Mine", "stays"] });
  assert.ok(!body.includes("admin") && body.includes("stays"), body);
});

test("without the middleware nobody passes", async () => {
  const bare = createServer((request, response) => hallpass.require("canRefund")(request, response, () => response.end("open")));
  await new Promise((resolve) => bare.listen(0, "127.0.0.1", resolve));
  const answer = await fetch(`http://127.0.0.1:${bare.address().port}/`);
  assert.equal(answer.status, 503);
  bare.close();
  const handler = hallpass.requireFetch("canRefund", () => new Response("open"));
  assert.equal((await handler(new Request(`${ORIGIN}/`))).status, 503);
  assert.equal(said.filter((message) => message.includes("does not cover it")).length, 2);
});

test("a fault in the application's own rule lets nobody pass", async () => {
  const faulty = new Hallpass({
    engine: "http://auth.company.localhost:9", appKey: "pos", secretKey: "x", origin: ORIGIN, log: () => {},
    optional: () => { throw new Error("on purpose"); },
  });
  const answer = await faulty.fetchHandler(() => new Response("open"))(new Request(`${ORIGIN}/public/`));
  assert.equal(answer.status, 503);
  faulty.close();
});
