// The whole SDK before an engine that says whatever a case needs: what the real one does rarely, slowly or never (protocol §4, §18, §20).

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";

import { callerOf, Hallpass } from "../dist/index.js";

const PASS = "__Secure-hallpass-pass";
const SEEN = "__Host-Http-hallpass-seen";
const BORN = 1_800_000_000;
const ORIGIN = "http://pos.company.localhost:7070";

const endings = [];
after(() => Promise.all(endings.map((ending) => ending())));

/** An engine that knows the passes it is told of. */
async function engine() {
  const fake = { passes: new Map(), asked: [], trouble: undefined, gate: Promise.resolve() };
  const answerTo = (token, question) => {
    const known = fake.passes.get(token);
    if (!known) return { active: false };
    const { version, ...rest } = known;
    if (question.if_version === version) return { active: true, unchanged: true, cache_for: rest.cache_for };
    const csrf = question.csrf_token === undefined ? {} : { csrf: question.csrf_token === "good" ? "ok" : "failed" };
    return { ...rest, ...csrf, version };
  };
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    if (request.url !== "/introspect") return response.writeHead(503).end();
    assert.equal(request.headers.authorization, `Basic ${Buffer.from("pos:hp_sk_one").toString("base64")}`);
    assert.equal(request.headers.host, fake.url.slice("http://".length));
    const question = JSON.parse(text);
    fake.asked.push(question);
    await fake.gate;
    if (fake.trouble) return fake.trouble(response);
    const answers = (question.tokens ?? [question.token]).map((token) => answerTo(token, question));
    response.end(JSON.stringify(question.tokens ? { results: answers } : answers[0]));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  endings.push(() => (server.closeAllConnections(), server.close()));
  const { port } = server.address();
  fake.url = `http://auth.company.localhost:${port}`;
  fake.connectTo = `127.0.0.1:${port}`;
  fake.signIn = (pass, sid, username, more = {}) =>
    fake.passes.set(pass, {
      active: true, token_type: "pass", iss: fake.url, client_id: "pos", sub: `u_${username}`, sid, username, auth_time: BORN, acr: "aal1",
      amr: ["pwd"], iat: BORN, exp: BORN + 900, roles: [], permissions: ["canCreateOrder"], attributes: {}, version: "1", cache_for: 0,
      csrf_token: "t", set_cookie: null, ...more,
    });
  return fake;
}

/** An app that answers with the caller's name and permissions. */
function app(fake, options = {}) {
  let milliseconds = 0;
  const hallpass = new Hallpass({
    engine: fake.url, connectTo: fake.connectTo, appKey: "pos", secretKey: "hp_sk_one", origin: ORIGIN, log: () => {}, timeout: 300,
    optional: (path) => path === "/public",
    clock: { monotonic: () => milliseconds, unixSeconds: () => BORN + Math.floor(milliseconds / 1000) },
    ...options,
  });
  endings.push(() => hallpass.close());
  const made = { acted: 0, advance: (by) => (milliseconds += by), hallpass };
  const handler = hallpass.fetchHandler(async (request) => {
    if (request.method !== "GET") made.acted += 1;
    const caller = callerOf(request);
    const text = caller ? `${caller.username} ${caller.permissions.join(",")}` : "anonymous";
    return new Response(request.method === "GET" ? text : await request.text());
  });
  const send = (path, cookies, headers, init = {}) => {
    const cookie = Object.entries(cookies).map(([name, value]) => `${name}=${value}`).join("; ");
    return handler(new Request(ORIGIN + path, { ...init, headers: { cookie, "sec-fetch-site": "same-origin", ...headers } }));
  };
  made.fetch = (path, cookies) => send(path, cookies, { "sec-fetch-mode": "cors" });
  made.visit = (path, cookies) => send(path, cookies, { "sec-fetch-mode": "navigate" });
  made.submit = (path, cookies, body = "a=1") =>
    send(path, cookies, { "sec-fetch-mode": "navigate", "content-type": "application/x-www-form-urlencoded", "content-length": String(body.length) }, { method: "POST", body });
  return made;
}

const setCookies = (answer, name) => answer.headers.getSetCookie().filter((line) => line.startsWith(`${name}=`));

test("a fresh pass is relayed as it came, and nothing else is", async () => {
  const fake = await engine();
  const line = `${PASS}=fresh; Domain=company.localhost; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax; Priority=High`;
  fake.signIn("p", "s_1", "ana", { set_cookie: line });
  fake.signIn("odd", "s_1", "ana", { set_cookie: "session=evil; Path=/" });
  fake.signIn("split", "s_1", "ana", { set_cookie: `${PASS}=x\r\nLocation: https://evil.com` });
  const pos = app(fake);
  const answer = await pos.visit("/", { [PASS]: "p" });
  assert.deepEqual(setCookies(answer, PASS), [line]);
  for (const pass of ["odd", "split"]) {
    const other = await pos.visit("/", { [PASS]: pass });
    assert.deepEqual([other.status, setCookies(other, PASS), setCookies(other, "session")], [200, [], []], pass);
  }
  fake.signIn("m", "s_2", "mallory", { set_cookie: line });
  const seen = setCookies(answer, SEEN)[0].slice(SEEN.length + 1).split(";")[0];
  const page = await pos.visit("/", { [PASS]: "m", [SEEN]: seen });
  assert.deepEqual(setCookies(page, PASS), [], "a stranger's pass is not kept fresh");
  assert.ok((await page.text()).includes("Continue as mallory"));
});

test("whatever goes wrong with the engine is 503", async () => {
  const fake = await engine();
  fake.signIn("p", "s_1", "ana");
  const pos = app(fake);
  assert.equal((await pos.visit("/", { [PASS]: "p" })).status, 200);
  const status = (code) => (response) => response.writeHead(code, { "retry-after": "7" }).end("{}");
  const troubles = [500, 503, 429, 401, 400, 404, 421].map(status);
  troubles.push((response) => response.writeHead(302, { location: "/elsewhere" }).end());
  troubles.push((response) => response.writeHead(204).end());
  troubles.push((response) => response.end("nonsense"));
  troubles.push((response) => response.end('{"active":false}'.padEnd(300_000)));
  troubles.push((response) => response.socket.destroy());
  troubles.push((response) => (response.writeHead(200, { "content-length": "100" }).write('{"active":'), setImmediate(() => response.socket.destroy())));
  troubles.push(() => {});
  for (const trouble of troubles) {
    fake.trouble = trouble;
    for (const path of ["/", "/public"]) {
      const page = await pos.visit(path, { [PASS]: "p" });
      assert.equal(page.status, 503, `${trouble} ${path}`);
      assert.match(page.headers.get("retry-after"), /^\d+$/);
    }
    const problem = await pos.fetch("/", { [PASS]: "p" });
    assert.equal((await problem.json()).error, "temporarily_unavailable");
    assert.equal((await pos.submit("/", { [PASS]: "p" })).status, 503);
  }
  assert.equal(pos.acted, 0);
  fake.trouble = status(503);
  assert.equal((await pos.visit("/", { [PASS]: "p" })).headers.get("retry-after"), "7");
  fake.trouble = undefined;
  assert.equal((await pos.visit("/", { [PASS]: "p" })).status, 200, "recovery needs nobody");
});

test("an idle connection that the engine has closed costs nobody an answer", async () => {
  const fake = await engine();
  fake.signIn("p", "s_1", "ana");
  const pos = app(fake);
  const used = new Set();
  let closed = 0;
  fake.trouble = (response) => {
    if (used.has(response.socket)) return (closed += 1), response.socket.destroy();
    used.add(response.socket);
    response.end(JSON.stringify({ ...fake.passes.get("p") }));
  };
  for (let round = 0; round < 4; round += 1) assert.equal((await pos.fetch("/", { [PASS]: "p" })).status, 200);
  assert.ok(closed > 0, "it happened");
});

test("an answer for another app or from another issuer lets nobody in", async () => {
  const fake = await engine();
  fake.signIn("other-app", "s_1", "ana", { client_id: "cashier" });
  fake.signIn("other-issuer", "s_1", "ana", { iss: "https://evil.com" });
  fake.signIn("no-session", "s_1", "ana", { sid: null });
  fake.signIn("access-token", "s_1", "ana", { token_type: "access_token" });
  const pos = app(fake);
  for (const pass of ["other-app", "other-issuer", "no-session"]) assert.equal((await pos.fetch("/", { [PASS]: pass })).status, 503, pass);
  assert.equal((await pos.fetch("/", { [PASS]: "access-token" })).status, 401);
});

test("a grace serves reading for a while, not after a refusal, and never a session known to be inactive", async () => {
  const fake = await engine();
  fake.signIn("p", "s_1", "ana", { cache_for: 5 });
  fake.signIn("q", "s_2", "bob");
  const pos = app(fake, { grace: 60_000 });
  await pos.visit("/", { [PASS]: "p" });
  await pos.visit("/", { [PASS]: "q" });
  fake.passes.delete("q");
  assert.equal((await pos.fetch("/", { [PASS]: "q" })).status, 401);
  const away = (response) => response.writeHead(503).end();
  fake.trouble = away;
  pos.advance(60_000);
  assert.equal(await (await pos.visit("/", { [PASS]: "p" })).text(), "ana canCreateOrder");
  assert.equal((await pos.submit("/", { [PASS]: "p" })).status, 503, "nothing is changed on old knowledge");
  assert.equal((await pos.fetch("/", { [PASS]: "q" })).status, 503);
  fake.trouble = (response) => response.writeHead(401).end();
  assert.equal((await pos.visit("/", { [PASS]: "p" })).status, 503, "refused is not away");
  fake.trouble = away;
  pos.advance(1);
  assert.equal((await pos.visit("/", { [PASS]: "p" })).status, 503);
});

test("a hundred at once are one question, and what was not to be kept is asked for again", async () => {
  const fake = await engine();
  fake.signIn("p", "s_1", "ana");
  const pos = app(fake, { timeout: 5000 });
  let open;
  fake.gate = new Promise((resolve) => (open = resolve));
  const visitors = Array.from({ length: 100 }, () => pos.fetch("/", { [PASS]: "p" }));
  open();
  const bodies = await Promise.all(visitors.map(async (answer) => (await answer).text()));
  assert.ok(bodies.every((body) => body === "ana canCreateOrder"));
  assert.equal(fake.asked.length, 1);
  await pos.fetch("/", { [PASS]: "p" });
  assert.equal(fake.asked.length, 2);
});

test("an answer is used for as long as told, then compared by version, then asked for in full", async () => {
  const fake = await engine();
  fake.signIn("p", "s_1", "ana", { cache_for: 5 });
  const pos = app(fake);
  const ask = async () => (await pos.fetch("/", { [PASS]: "p" })).text();
  await ask();
  pos.advance(4999);
  await ask();
  assert.equal(fake.asked.length, 1);
  pos.advance(1);
  assert.equal(await ask(), "ana canCreateOrder");
  assert.equal(fake.asked[1].if_version, "1");
  fake.signIn("p", "s_1", "ana", { cache_for: 5, version: "2", permissions: [] });
  pos.advance(5000);
  assert.equal(await ask(), "ana ");
  pos.advance(300_000);
  await ask();
  assert.deepEqual([fake.asked.length, fake.asked[3].if_version], [4, undefined], "an old pass may be renewed");
});

test("several passes are asked about in one call; the newest of one session counts", async () => {
  const fake = await engine();
  fake.signIn("old", "s_1", "ana", { iat: BORN + 1 });
  fake.signIn("new", "s_1", "ana", { iat: BORN + 300, permissions: ["canRefund"] });
  const pos = app(fake);
  for (const order of [["old", "new"], ["new", "old"]]) {
    const answer = await pos.fetch("/", { a: `1; ${PASS}=${order[0]}`, [PASS]: order[1] });
    assert.equal(await answer.text(), "ana canRefund");
    assert.deepEqual(fake.asked.at(-1), { tokens: order, host: "pos.company.localhost:7070" });
  }
});

test("a judgement about a CSRF token is never remembered", async () => {
  const fake = await engine();
  fake.signIn("p", "s_1", "ana", { cache_for: 10 });
  const pos = app(fake, { csrf: "token" });
  await pos.visit("/", { [PASS]: "p" });
  for (const [token, status] of [["good", 200], ["bad", 403], ["good", 200]]) {
    const answer = await pos.submit("/", { [PASS]: "p" }, `csrf_token=${token}`);
    assert.equal(answer.status, status, token);
    if (status === 200) assert.equal(await answer.text(), `csrf_token=${token}`, "the form arrives whole");
  }
  assert.equal(fake.asked.length, 4);
  assert.ok(fake.asked.every((question) => question.if_version === undefined), "`unchanged` would judge nothing");
  assert.equal((await pos.submit("/", { [PASS]: "p" })).status, 403);
  assert.equal((await pos.submit("/public", {})).status, 200, "nobody to forge for");
});

test("mistakes are named at start, and no secret with them", () => {
  const good = { engine: "https://auth.company.com", appKey: "pos", secretKey: "hp_sk_one", origin: "https://pos.company.com" };
  for (const [wrong, named] of [
    [{ engine: "http://auth.company.com" }, /http:\/\/auth\.company\.com/], [{ engine: "https://auth.company.com/x" }, /engine's URL/],
    [{ origin: undefined }, /origin/], [{ origin: "https://pos.company.com/app" }, /origin/], [{ appKey: "a:b" }, /app key/], [{ appKey: "" }, /app key/], [{ appKey: undefined }, /app key/], [{ secretKey: undefined }, /empty/],
    [{ secretKey: " " }, /empty/], [{ previousSecretKeys: [""] }, /empty/], [{ passCookie: "a;b" }, /a;b/], [{ grace: 900_001 }, /grace/],
    [{ grace: NaN }, /grace/], [{ timeout: 0 }, /timeout/], [{ csrf: "none" }, /csrf/], [{ firstContact: "maybe" }, /firstContact/],
    [{ connectTo: "10.0.0.1" }, /connectTo/], [{ connectTo: "::1:80" }, /connectTo/], [{ afterSignOut: "//evil.com" }, /signing out/],
    [{ afterSignOut: "https://evil.com/" }, /signing out/], [{ afterSignOut: "bye" }, /signing out/],
  ]) {
    assert.throws(() => new Hallpass({ ...good, ...wrong }), (error) => named.test(error.message) && !error.message.includes("hp_sk_one"), JSON.stringify(wrong));
  }
});
