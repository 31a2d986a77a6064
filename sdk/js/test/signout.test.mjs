// Signing out (protocol §9): the receipt, what is said later if the engine is away, and what a zone does when others sign out.

import assert from "node:assert/strict";
import { test } from "node:test";

import { app, cookieLines, engine, leadsTo, ORIGIN, PASS, SEEN, until } from "./scripted.mjs";

async function world(options) {
  const fake = await engine();
  fake.signIn("p", "s_1", "ana", { cache_for: 10 });
  fake.signIn("q", "s_2", "ben");
  const pos = app(fake, options);
  const browser = pos.browser({ [PASS]: "p" });
  await browser.visit("/orders");
  assert.ok(browser.jar.has(SEEN));
  return { fake, pos, browser };
}

const gone = (response) => response.writeHead(503).end();

for (const path of ["/.hallpass/sign-out", "/.sso/sign-out"]) {
  test(`${path} ends the session and leads to the receipt`, async () => {
    const { fake, browser } = await world();
    const answer = await browser.submit(path);
    assert.equal(leadsTo(answer), `${fake.url}/receipt?id=1`);
    assert.deepEqual(fake.signedOut, [{ sid: "s_1", sub: "u_ana" }]);
    assert.deepEqual([browser.jar.has(PASS), browser.jar.has(SEEN)], [false, false]);
    fake.passes.clear();
    assert.equal((await browser.fetch("/orders", { cookie: `${PASS}=p` })).status, 401, "not remembered");
  });
}

test("signing out is for the app's own pages", async () => {
  const { fake, browser } = await world();
  for (const site of ["same-site", "cross-site", "none"]) {
    const answer = await browser.submit("/.sso/sign-out", "", { "sec-fetch-site": site });
    assert.deepEqual([answer.status, answer.headers.getSetCookie()], [403, []], site);
  }
  assert.deepEqual(fake.signedOut, []);
});

test("an app may have a place of its own for it, and a program is told both", async () => {
  const { fake, browser } = await world({ afterSignOut: "/bye" });
  const cookies = new Map(browser.jar);
  assert.equal(leadsTo(await browser.submit("/.sso/sign-out")), "/bye");
  browser.jar = cookies;
  const answer = await browser.submit("/.sso/sign-out", "", { "sec-fetch-mode": "cors" });
  assert.deepEqual([answer.status, await answer.json()], [200, { signed_out: true, continue_at: `${fake.url}/receipt?id=1` }]);
});

test("nobody is led elsewhere, nor by an older engine anywhere", async () => {
  for (const elsewhere of ["https://evil.example/", "javascript:alert(1)", (url) => `${url}.evil.example/`, (url) => url, (url) => `${url}@evil.example/`, (url) => `${url}/a b`, undefined]) {
    const { fake, browser } = await world({ agent: false });
    fake.continueAt = typeof elsewhere === "function" ? elsewhere(fake.url) : elsewhere;
    const cookies = new Map(browser.jar);
    assert.equal(leadsTo(await browser.submit("/.hallpass/sign-out")), "/", String(elsewhere));
    browser.jar = cookies;
    const answer = await browser.submit("/.hallpass/sign-out", "", { "sec-fetch-mode": "cors" });
    assert.deepEqual([answer.status, await answer.text()], [204, ""]);
  }
});

// ---- later ------------------------------------------------------------------------------------------------------------

test("an engine that does not answer is told later, once", async () => {
  const { fake, pos, browser } = await world();
  const cookies = new Map(browser.jar);
  fake.trouble["/api/v1/sign-out"] = gone;
  for (let click = 0; click < 2; click += 1) {
    browser.jar = new Map(cookies);
    const answer = await browser.submit("/.sso/sign-out");
    assert.deepEqual([answer.status, (await answer.text()).includes("other applications may still be open")], [503, true]);
    assert.ok(!browser.jar.has(PASS), "signed out here");
  }
  assert.equal(pos.timers.size, 1, "however often somebody clicks");
  let tries = 0;
  fake.trouble["/api/v1/sign-out"] = (response) => ((tries += 1), gone(response));
  for (const [round, pause] of [2, 4, 8, 16, 32, 64, 128, 256, 300, 300].entries()) {
    const [{ at }] = pos.timers;
    const wait = at - pos.now();
    assert.ok(wait >= pause * 500 && wait <= pause * 1000, `${wait} ms before attempt ${round}`);
    pos.advance(wait);
    await until("it is tried again", () => tries === round + 1 && pos.timers.size === 1);
  }
  fake.trouble = {};
  pos.advance(300_000);
  await until("the engine has heard", () => fake.signedOut.length === 1);
  assert.deepEqual(fake.signedOut, [{ sid: "s_1", sub: "u_ana" }]);
  await until("and that is all", () => pos.said.some((line) => line.includes("has heard of a sign-out")));
  assert.equal(pos.timers.size, 0);
});

test("it is given up after a day, and when the app ends", async () => {
  const { fake, pos, browser } = await world();
  fake.trouble["/api/v1/sign-out"] = gone;
  await browser.submit("/.sso/sign-out");
  pos.advance(24 * 3600 * 1000);
  await until("given up", () => pos.said.some((line) => line.startsWith("error a sign-out is given up")));
  assert.equal(pos.timers.size, 0);
  browser.jar.set(PASS, "q");
  await browser.submit("/.sso/sign-out");
  assert.equal(pos.timers.size, 1);
  pos.hallpass.close();
  assert.equal(pos.timers.size, 0);
});

test("who it was is found out later, by the engine's word and never by the cookie's", async () => {
  const { fake, pos } = await world();
  fake.trouble["/introspect"] = gone;
  const forged = ["e30", Buffer.from('{"sid":"s_1","sub":"u_ana"}').toString("base64url"), "x"].join(".");
  for (const pass of ["q", forged, "not-a-pass-of-anybody"]) await pos.browser({ [PASS]: pass }).submit("/.sso/sign-out");
  await pos.browser().submit("/.sso/sign-out");
  assert.equal(pos.timers.size, 3);
  fake.trouble = {};
  pos.advance(2000);
  await until("all are settled", () => pos.said.filter((line) => line.includes("has heard of")).length === 3);
  assert.deepEqual(fake.signedOut, [{ sid: "s_2", sub: "u_ben" }]);
});

test("who is remembered is signed out although the engine cannot be asked", async () => {
  const { fake, pos, browser } = await world();
  pos.advance(20_000);
  fake.trouble["/introspect"] = gone;
  await browser.submit("/.sso/sign-out");
  pos.advance(2000);
  await until("told", () => fake.signedOut.length === 1);
  assert.deepEqual(fake.signedOut, [{ sid: "s_1", sub: "u_ana" }]);
});

test("no more than a thousand wait", async () => {
  const { fake, pos } = await world();
  fake.trouble["/introspect"] = gone;
  for (let at = 0; at < 1001; at += 1) await pos.browser({ [PASS]: `pass-${at}` }).submit("/.sso/sign-out");
  assert.equal(pos.timers.size, 1000);
  assert.ok(pos.said.some((line) => line.includes("too many are waiting")));
  assert.ok(pos.said.every((line) => !line.includes("pass-1")), "no pass is printed");
});

// ---- when others sign out -----------------------------------------------------------------------------------------------

test("a step of the engine's walk removes what has ended, and only that", async () => {
  const { fake, browser } = await world();
  const next = `${fake.url}/sign-out/next?chain=c-1.x`;
  const kept = await browser.visit("/.sso/sync?chain=c-1.x");
  assert.deepEqual([leadsTo(kept), kept.headers.getSetCookie()], [next, []]);
  const asked = fake.asked.length;
  fake.passes.delete("p");
  fake.trouble["/introspect"] = gone;
  const away = await browser.visit("/.sso/sync?chain=c-1.x");
  assert.deepEqual([leadsTo(away), away.headers.getSetCookie()], [next, []], "nobody is signed out because the engine is away");
  fake.trouble = {};
  const cleaned = await browser.visit("/.sso/sync?chain=c-1.x");
  assert.equal(leadsTo(cleaned), next);
  assert.ok(fake.asked.length > asked, "asked, not remembered");
  assert.ok(cookieLines(cleaned, PASS).includes(`${PASS}=; Path=/; Domain=company2.localhost; Max-Age=0; Secure; HttpOnly; SameSite=Lax`));
  assert.deepEqual([browser.jar.has(PASS), browser.jar.has(SEEN)], [false, false]);
  assert.equal((await browser.fetch("/orders", { cookie: `${PASS}=p` })).status, 401, "nor from memory");
  const empty = await browser.visit("/.sso/sync?chain=c-1.x");
  assert.deepEqual([leadsTo(empty), empty.headers.getSetCookie()], [next, []]);
});

test("a redirect within the app names it: Next resolves redirects itself, and fails on a path", async () => {
  const { browser } = await world();
  assert.equal((await browser.visit("/.sso/sync")).headers.get("location"), `${ORIGIN}/`);
});

test("beside a live pass nothing is removed, and without a chain there is no next step", async () => {
  const { pos, browser } = await world();
  for (const query of ["", "?chain=", "?chain=a%20b", "?chain=a&chain=b", "?chain=//evil.example"]) assert.equal(leadsTo(await browser.visit(`/.sso/sync${query}`)), "/", query);
  const mixed = await pos.send("/.sso/sync?chain=c", { cookie: `${PASS}=dead; ${PASS}=p; ${SEEN}=x` });
  assert.deepEqual(mixed.headers.getSetCookie(), []);
  const garbage = await pos.send("/.sso/sync?chain=c", { cookie: `${PASS}="no pass"` });
  assert.ok(cookieLines(garbage, PASS).length > 0);
});

// ---- the engine's hint --------------------------------------------------------------------------------------------------

const claims = (fake, more) => ({ iss: fake.url, aud: "pos", sid: "s_1", iat: 1, jti: "j", events: {}, ...more });
const token = (content) => ["e30", Buffer.from(JSON.stringify(content)).toString("base64url"), "c2ln"].join(".");
const hint = (pos, body, headers = {}) =>
  pos.send("/.sso/backchannel", { "content-type": "application/x-www-form-urlencoded", ...headers }, { method: "POST", body: new URLSearchParams(body).toString() });

test("the engine's word that a session has ended is believed enough to ask", async () => {
  const { fake, pos, browser } = await world();
  const asked = () => fake.asked.length;
  let before = asked();
  await browser.fetch("/orders");
  assert.equal(asked(), before, "remembered");
  for (const aud of ["pos", ["other", "pos"]]) {
    before = asked();
    const answer = await hint(pos, { logout_token: token(claims(fake, { aud })) });
    assert.deepEqual([answer.status, await answer.text(), answer.headers.get("cache-control")], [200, "", "no-store"]);
    pos.advance(1);
    assert.equal((await browser.fetch("/orders")).status, 200, "a forger reaches one more question");
    assert.equal(asked(), before + 1);
  }
  await hint(pos, { logout_token: token(claims(fake, { sid: "s_other" })) });
  await browser.fetch("/orders");
  assert.equal(asked(), before + 1, "nobody else's session is doubted");
});

test("what is no such word is refused and forgets nothing", async () => {
  const { fake, pos, browser } = await world();
  const before = fake.asked.length;
  const good = token(claims(fake));
  for (const body of [
    {}, { logout_token: "" }, { logout_token: "x" }, { logout_token: "a.b.c.d" }, { logout_token: good.replace("e30.", "e30") }, [["logout_token", good], ["logout_token", good]],
    ...[{ iss: "https://evil.example" }, { aud: "cashier" }, { aud: ["cashier"] }, { aud: undefined }, { sid: undefined }, { sid: 5 }, { sid: "" }].map((more) => ({ logout_token: token(claims(fake, more)) })),
    { logout_token: token("text") }, { logout_token: token(null) }, { logout_token: token(claims(fake, { pad: "x".repeat(8000) })) },
  ]) {
    assert.equal((await hint(pos, body)).status, 400, JSON.stringify(body).slice(0, 100));
  }
  assert.equal((await hint(pos, { logout_token: good }, { "content-type": "application/json" })).status, 400);
  for (const headers of [{ origin: fake.url }, { "sec-fetch-site": "same-origin" }, { "sec-fetch-site": "cross-site" }, { origin: "null" }]) {
    assert.equal((await hint(pos, { logout_token: good }, headers)).status, 403, JSON.stringify(headers));
  }
  await browser.fetch("/orders");
  assert.equal(fake.asked.length, before, "still remembered");
  assert.equal((await hint(pos, { logout_token: good })).status, 200);
});
