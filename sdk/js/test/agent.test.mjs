// The app agent before a scripted engine (protocol §8): a handoff from its beginning to its end, and whatever can go wrong on the way.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer, request as httpRequest } from "node:http";
import { test } from "node:test";

import { app, BORN, BOUNCE, Browser, cookieLines, engine, leadsTo, ORIGIN, PASS, SEEN, TRANSACTION } from "./scripted.mjs";

const encoded = encodeURIComponent;
const sha256 = (data) => createHash("sha256").update(data).digest("base64url");
const isAuthorize = (fake, location) => location.startsWith(`${fake.url}/handoff/authorize?`);

async function world(options) {
  const fake = await engine();
  fake.signIn("p", "s_1", "ana");
  fake.signIn("q", "s_2", "ben");
  const pos = app(fake, options);
  return { fake, pos, browser: pos.browser() };
}

/** A browser in the midst of a handoff, and where the engine sends it. */
async function handedOver(options, path = "/.sso/start?r=/orders", more) {
  const made = await world(options);
  const back = made.fake.handsOver(leadsTo(await made.browser.visit(path)), "p", more);
  return { ...made, back };
}

async function assertRefused(answer) {
  assert.equal(answer.status, 403);
  const page = await answer.text();
  assert.equal(answer.headers.get("referrer-policy"), "no-referrer");
  assert.ok(page.includes("<h1>This sign-in was not begun here</h1>") && page.includes('<a class="button" href="/">Start again</a>'), page);
  assert.equal(answer.headers.get("cache-control"), "no-store");
  assert.deepEqual([cookieLines(answer, PASS), cookieLines(answer, SEEN)], [[], []]);
}

test("somebody who is signed in at home is known here after three redirects and no question", async () => {
  const { fake, pos, browser } = await world();
  const begun = await browser.visit("/orders/5?open=1");
  const location = leadsTo(begun);
  const query = Object.fromEntries(new URL(location).searchParams);
  assert.ok(isAuthorize(fake, location));
  assert.deepEqual(Object.keys(query).sort(), ["client_id", "code_challenge", "code_challenge_method", "prompt", "redirect_uri", "state"]);
  assert.deepEqual(
    [query.client_id, query.redirect_uri, query.code_challenge_method, query.prompt], ["pos", `${ORIGIN}/.sso/callback`, "S256", "none"]);
  for (const token of [query.state, query.code_challenge]) assert.match(token, /^[A-Za-z0-9_-]{43}$/);
  const [line, ...others] = cookieLines(begun, TRANSACTION);
  const name = TRANSACTION + sha256(Buffer.from(query.state, "base64url")).slice(0, 8);
  assert.match(line, new RegExp(`^${name}=[A-Za-z0-9_-]+; Path=/; Max-Age=120; Secure; HttpOnly; SameSite=Lax$`));
  assert.deepEqual(others, []);
  assert.ok(!line.includes(query.state), "sealed");

  const returned = await browser.visit(fake.handsOver(location, "p"));
  assert.equal(leadsTo(returned), "/orders/5?open=1");
  const form = Object.fromEntries(new URLSearchParams(fake.redeemed[0]));
  assert.deepEqual(Object.keys(form).sort(), ["code", "code_verifier", "redirect_uri"]);
  assert.equal(sha256(form.code_verifier), query.code_challenge);
  assert.deepEqual(cookieLines(returned, PASS), [fake.line("p")]);
  assert.deepEqual(cookieLines(returned, TRANSACTION), [`${name}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax`]);
  assert.deepEqual([cookieLines(returned, SEEN).length, cookieLines(returned, BOUNCE)], [1, []]);
  const page = await browser.visit("/orders/5?open=1");
  assert.ok((await page.text()).startsWith("ana "));
  assert.deepEqual([browser.jar.has(BOUNCE), browser.transactions], [false, []]);
  assert.deepEqual(pos.said.filter((line) => /hp_hc_|code_verifier|hp_sk/.test(line)), []);
});

test("without an agent its addresses are the application's, and people are sent to the engine's form", async () => {
  const { fake, browser } = await world({ agent: false, optional: () => true });
  for (const path of ["/.sso/start", "/.sso/callback", "/.well-known/sso-agent"]) {
    assert.ok((await (await browser.visit(path)).text()).startsWith(`anonymous ${fake.url}/sign-in?app=pos`));
  }
});

test("what cannot follow a redirect is told where a handoff begins", async () => {
  const { browser, pos } = await world();
  const start = `${ORIGIN}/.sso/start?r=%2Forders%2F5%3Fx%3D1`;
  const refused = await browser.fetch("/api", { referer: `${ORIGIN}/orders/5?x=1` });
  assert.deepEqual([refused.status, await refused.json()], [401, { error: "login_required", sign_in_url: start }]);
  const form = await browser.submit("/orders", "a=1", { referer: `${ORIGIN}/orders/5?x=1` });
  assert.deepEqual([form.status, (await form.text()).includes(`href="${start}"`)], [401, true]);
  const open = await pos.browser({ "__Host-Http-hallpass-nobody": "1" }).visit("/public/page");
  assert.equal(await open.text(), `anonymous ${ORIGIN}/.sso/start?r=%2Fpublic%2Fpage`);
});

test("a start leads to a path of the own origin only, to a chain by its name, or where the engine checks", async () => {
  const { fake, browser } = await world();
  for (const [query, r] of [
    ["", "/"], ["?", "/"], ["?r=/orders%3Fa=1", "/orders?a=1"], ["?r=//evil.example", "/"], ["?r=/%5Cevil.example", "/"], ["?r=https://evil.example/", "/"], ["?r=/%0d%0aLocation:x", "/"],
    ["?r=/%250d", "/"], ["?r=javascript:alert(1)", "/"], ["?r=/.sso/start", "/"], ["?r=/.hallpass/sign-out", "/"], ["?r=/a&r=/b", "/"], ["?r=/a&chain=c", "/"], ["?r=/a&app=pos&return_to=x", "/"],
    ["?app=pos", "/"], ["?return_to=https://evil.example/", "/"], [`?app=pos&return_to=${"x".repeat(2001)}`, "/"], ["?app=a&app=b&return_to=x", "/"],
    ["?chain=", "/"], ["?chain=a/b", "/"], ["?chain=a%0db", "/"], ["?chain=a%26b", "/"], [`?chain=${"c".repeat(2001)}`, "/"], ["?chain=a&chain=b", "/"], [`?app=${"é".repeat(1999)}&return_to=${"é".repeat(1999)}`, "/"],
  ]) {
    browser.jar.clear();
    const location = leadsTo(await browser.visit(`/.sso/start${query}`));
    assert.ok(!new URL(location).searchParams.has("app"), query);
    const back = leadsTo(await browser.visit(fake.refuses(location)));
    assert.equal(back, `${fake.url}/sign-in?${new URLSearchParams({ app: "pos", return_to: ORIGIN + r })}`, query);
  }
});

test("who has a pass here already is sent on at once", async () => {
  const { fake, browser } = await world();
  browser.jar.set(PASS, "p");
  assert.equal(leadsTo(await browser.visit("/.sso/start?r=/orders")), "/orders");
  assert.equal(leadsTo(await browser.visit("/.sso/start?chain=c_1.x")), `${fake.url}/handoff/next?chain=c_1.x`);
  assert.ok(isAuthorize(fake, leadsTo(await browser.visit(`/.sso/start?app=pos&return_to=${encoded(`${ORIGIN}/x`)}`))), "the engine knows better");
  fake.passes.clear();
  for (const query of ["r=/orders", "chain=c"]) assert.ok(isAuthorize(fake, leadsTo(await browser.visit(`/.sso/start?${query}`))), query);
  fake.trouble["/introspect"] = (response) => response.writeHead(503).end();
  assert.equal((await browser.visit("/.sso/start?r=/orders")).status, 503);
  assert.equal(leadsTo(await browser.visit("/.sso/start?chain=c")), `${fake.url}/handoff/next?chain=c`, "the other zones are not held up");
});

test("nobody at home: each of the four beginnings has its own end", async () => {
  const { fake, browser } = await world();
  const end = async (path) => leadsTo(await browser.visit(fake.refuses(leadsTo(await browser.visit(path)))));
  const there = `${ORIGIN}/x?y=1&z=2`;
  assert.equal(await end("/orders/5?a=1"), `${fake.url}/sign-in?app=pos&return_to=${encoded(`${ORIGIN}/orders/5?a=1`)}`);
  assert.equal(await end("/.sso/start?chain=c.1"), `${fake.url}/handoff/next?chain=c.1`);
  assert.equal(await end(`/.sso/start?app=other&return_to=${encoded(there)}`), `${fake.url}/sign-in?app=other&return_to=${encoded(there)}`);
  assert.equal(await end("/public/page?a=1"), "/public/page?a=1");
  assert.deepEqual(browser.transactions, []);
  assert.equal(fake.redeemed.length, 0);
});

test("what was begun for an app and an address is asked for with both, and ends where the engine says", async () => {
  const { fake, browser } = await world();
  const there = "http://till.company2.localhost:7070/x?y=1";
  const path = `/.sso/start?app=till&return_to=${encoded(there)}`;
  const location = leadsTo(await browser.visit(path));
  const { app: asked, return_to: returnTo } = Object.fromEntries(new URL(location).searchParams);
  assert.deepEqual([asked, returnTo], ["till", there]);
  assert.equal(leadsTo(await browser.visit(fake.handsOver(location, "p"))), there);
  for (const odd of ["javascript:alert(1)", "/path", "data:text/html,x", "", "http:"]) {
    browser.jar.delete(BOUNCE);
    const again = fake.handsOver(leadsTo(await browser.visit(path)), "p", { returnTo: odd });
    assert.equal(leadsTo(await browser.visit(again)), "/", odd);
  }
});

test("a pass that is fetched for another app of the zone is set for somebody who may not use this one", async () => {
  const { fake, browser } = await world();
  const there = "http://till.company2.localhost:7070/x";
  const location = leadsTo(await browser.visit(`/.sso/start?app=till&return_to=${encoded(there)}`));
  const answer = await browser.visit(fake.handsOver(location, "p", { envelope: { active: false } }));
  assert.deepEqual([leadsTo(answer), cookieLines(answer, PASS), cookieLines(answer, SEEN)], [there, [fake.line("p")], []]);
});

test("another error of the engine's is ours to say, and in a chain nobody's", async () => {
  const { fake, browser } = await world();
  const away = await browser.visit(fake.refuses(leadsTo(await browser.visit("/orders")), "temporarily_unavailable"));
  assert.equal(away.status, 503);
  assert.equal(cookieLines(away, TRANSACTION).length, 1);
  const inChain = await browser.visit(fake.refuses(leadsTo(await browser.visit("/.sso/start?chain=c")), "server_error"));
  assert.equal(leadsTo(inChain), `${fake.url}/handoff/next?chain=c`);
});

test("a code in another browser does nothing, and nobody is asked about it", async () => {
  const { fake, pos, back } = await handedOver();
  const victim = pos.browser();
  const answer = await victim.visit(back);
  await assertRefused(answer);
  assert.deepEqual([answer.headers.getSetCookie(), fake.redeemed.length, fake.asked.length], [[], 0, 0]);
  const program = await pos.send(back, { "sec-fetch-mode": "navigate" });
  assert.equal(program.status, 403);
  const withoutMetadata = await pos.send(back, {});
  assert.deepEqual([withoutMetadata.status, (await withoutMetadata.json()).error], [403, "handoff_refused"]);
});

test("the same callback again is harmless: who is signed in goes home", async () => {
  const { fake, browser, back } = await handedOver();
  assert.equal(leadsTo(await browser.visit(back)), "/orders");
  const again = await browser.visit(back);
  assert.deepEqual([leadsTo(again), again.headers.getSetCookie(), fake.redeemed.length], ["/", [], 1]);
  fake.passes.clear();
  await assertRefused(await browser.visit(back));
  assert.equal(fake.redeemed.length, 1);
});

test("only the one transaction of this very state counts, once, for two minutes", async () => {
  const nameOf = (browser) => browser.transactions[0];
  for (const [what, spoil, removed] of [
    ["of another state", (browser, pos, other) => browser.jar.set(nameOf(browser), other), 1],
    ["altered", (browser) => browser.jar.set(nameOf(browser), `${browser.jar.get(nameOf(browser))}A`), 1],
    ["too old", (browser, pos) => pos.advance(121_000), 1],
    ["of the future", (browser, pos) => pos.advance(-121_000), 1],
    // Wherever a browser may have kept the second: host-only, for the host, for the zone.
    ["doubled", (browser) => browser.jar.set(nameOf(browser), `${browser.jar.get(nameOf(browser))}; ${nameOf(browser)}=x`), 3],
    ["gone", (browser) => browser.jar.clear(), 0],
  ]) {
    const { fake, pos, browser, back } = await handedOver();
    const stranger = pos.browser();
    await stranger.visit("/orders");
    spoil(browser, pos, stranger.jar.get(nameOf(stranger)));
    const answer = await browser.visit(back);
    await assertRefused(answer);
    const lines = cookieLines(answer, TRANSACTION);
    assert.deepEqual([lines.length, lines.every((line) => line.includes("Max-Age=0")), fake.redeemed.length], [removed, true, 0], what);
  }
  const { pos, browser, back } = await handedOver();
  pos.advance(120_000);
  assert.equal(leadsTo(await browser.visit(back)), "/orders");
});

test("what is no answer of the engine's is refused, and the transaction is over", async () => {
  for (const change of [
    (query, fake) => query.set("iss", `${fake.url}/`), (query) => query.set("iss", "https://evil.example"), (query) => query.delete("iss"), (query, fake) => query.append("iss", fake.url),
    (query) => query.delete("code"), (query) => query.append("code", "x"), (query) => query.set("code", "x".repeat(513)), (query) => query.set("code", "a b"), (query) => query.set("code", ""),
  ]) {
    const { fake, browser, back } = await handedOver();
    const url = new URL(ORIGIN + back);
    change(url.searchParams, fake);
    await assertRefused(await browser.visit(url.pathname + url.search));
    assert.deepEqual([browser.transactions, fake.redeemed.length], [[], 0], url.search);
    await assertRefused(await browser.visit(back));
  }
  for (const change of [(query) => query.delete("state"), (query) => query.set("state", "x"), (query) => query.append("state", "x"), (query) => query.set("state", "A".repeat(44))]) {
    const { fake, browser, back } = await handedOver();
    const url = new URL(ORIGIN + back);
    change(url.searchParams);
    const answer = await browser.visit(url.pathname + url.search);
    await assertRefused(answer);
    assert.deepEqual([answer.headers.getSetCookie(), fake.redeemed.length], [[], 0]);
  }
});

test("another issuer's answer in a chain is refused, too", async () => {
  const { fake, browser, back } = await handedOver({}, "/.sso/start?chain=c");
  await assertRefused(await browser.visit(back.replace(encoded(fake.url), encoded("https://evil.example"))));
});

const TROUBLES = {
  "a code that is not accepted": [(response) => response.writeHead(400).end('{"error":"invalid_grant"}'), 403],
  "a wrong secret": [(response) => response.writeHead(401).end("{}"), 503],
  "an engine without agents": [(response) => response.writeHead(404).end("{}"), 503],
  "an engine that cannot": [(response) => response.writeHead(503, { "retry-after": "7" }).end("{}"), 503],
  nonsense: [(response) => response.end("nonsense"), 503],
  silence: [() => {}, 503],
  "no connection, twice": [(response) => response.socket.destroy(), 503],
};

for (const [what, [trouble, status]] of Object.entries(TROUBLES)) {
  test(`${what} ends a handoff, and in a chain only this step of it`, async () => {
    const { fake, browser, back } = await handedOver();
    fake.trouble["/handoff/token"] = trouble;
    const answer = await browser.visit(back);
    if (status === 403) await assertRefused(answer);
    assert.deepEqual([answer.status, cookieLines(answer, PASS), browser.transactions], [status, [], []]);
    if (status === 503) {
      const page = await answer.text();
      assert.ok(page.includes("You cannot be signed in right now") && page.includes('href="/orders">Try again'), "reloading would not help");
      assert.deepEqual([answer.headers.get("referrer-policy"), /^\d+$/.test(answer.headers.get("retry-after"))], ["no-referrer", true]);
    }
    fake.trouble = {};
    const inChain = fake.handsOver(leadsTo(await browser.visit("/.sso/start?chain=c")), "p");
    fake.trouble["/handoff/token"] = trouble;
    const next = await browser.visit(inChain);
    assert.deepEqual([leadsTo(next), cookieLines(next, PASS)], [`${fake.url}/handoff/next?chain=c`, []]);
  });
}

test("an answer about somebody else, or for somebody else, is none", async () => {
  const broken = (fake) => ({
    envelope: [{ active: false }, fake.envelope("s_1", "ana", { client_id: "cashier" }), fake.envelope("s_1", "ana", { iss: "https://evil.example" }), fake.envelope("s_1", "ana", { token_type: "access_token" }),
      { active: true, unchanged: true }, null, fake.envelope(undefined, "ana")],
    setCookie: [null, "", 5],
    returnTo: [5],
  });
  for (const member of ["envelope", "setCookie", "returnTo"]) {
    for (const at of broken(await engine())[member].keys()) {
      const made = await world();
      const back = made.fake.handsOver(leadsTo(await made.browser.visit("/orders")), "p", { [member]: broken(made.fake)[member][at] });
      const answer = await made.browser.visit(back);
      assert.deepEqual([answer.status, cookieLines(answer, PASS), cookieLines(answer, SEEN)], [503, [], []], `${member} ${at}`);
    }
  }
});

test("a cookie that is not the pass is not relayed, and nobody goes round in circles for it", async () => {
  for (const setCookie of ["session=evil; Path=/", `${PASS}=x\r\nSet-Cookie: a=b`, `${PASS}=; Path=/`]) {
    const { browser, back } = await handedOver({}, "/.sso/start?r=/orders", { setCookie });
    const answer = await browser.visit(back);
    assert.deepEqual([answer.status, cookieLines(answer, PASS), cookieLines(answer, "session"), cookieLines(answer, SEEN)], [503, [], [], []], setCookie);
  }
});

test("a connection that breaks is tried once more, with the same words", async () => {
  const { fake, browser, back } = await handedOver();
  const heard = [];
  fake.trouble["/handoff/token"] = (response, request, text) => {
    heard.push(text);
    delete fake.trouble["/handoff/token"];
    response.socket.destroy();
  };
  assert.equal(leadsTo(await browser.visit(back)), "/orders");
  assert.deepEqual(fake.redeemed, heard);
});

test("a chain goes on where it came from, with the pass", async () => {
  const { fake, browser, back } = await handedOver({}, "/.sso/start?chain=c-1", { returnTo: "https://elsewhere.example/" });
  const answer = await browser.visit(back);
  assert.equal(leadsTo(answer), `${fake.url}/handoff/next?chain=c-1`);
  assert.deepEqual(cookieLines(answer, PASS), [fake.line("p")]);
  assert.ok(!browser.jar.has(BOUNCE), "counted by the engine");
});

test("handoffs that were given up do not pile up", async () => {
  const { browser } = await world();
  for (let tab = 1; tab <= 12; tab += 1) {
    await browser.visit(`/tab/${tab}`);
    assert.equal(browser.transactions.length, tab);
  }
  const left = browser.transactions;
  const answer = await browser.visit("/tab/13");
  const lines = cookieLines(answer, TRANSACTION);
  assert.deepEqual(lines.slice(0, 12).map((line) => line.split(";")[0]).sort(), left.map((name) => `${name}=`).sort());
  assert.ok(lines.slice(0, 12).every((line) => line.includes("Path=/; Max-Age=0")));
  assert.deepEqual([lines.length, browser.transactions.length, lines[12].includes("Max-Age=120")], [13, 1, true], "the new one comes last");
});

test("frames, images, scripts and prefetches begin and end nothing", async () => {
  const { fake, pos, browser, back } = await handedOver();
  const cookie = [...browser.jar].map(([name, value]) => `${name}=${value}`).join("; ");
  for (const headers of [
    { "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe" }, { "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image" }, { "sec-fetch-mode": "cors" }, { "sec-fetch-dest": "empty" },
    { "sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-purpose": "prefetch;prerender" }, { "sec-purpose": "" },
  ]) {
    for (const path of ["/.sso/start?r=/orders", back, "/.sso/sync?chain=c"]) {
      const answer = await pos.send(path, { cookie, accept: "text/html", ...headers });
      assert.deepEqual([answer.status, answer.headers.getSetCookie()], [403, []], `${path} ${JSON.stringify(headers)}`);
      assert.ok((await answer.text()).includes("This address is for browser windows only"));
    }
  }
  assert.equal(fake.redeemed.length, 0);
  assert.equal(leadsTo(await pos.send(back, { cookie })), "/orders", "browsers that do not say are let through");
});

test("a frame or a prefetch of a page begins no handoff either", async () => {
  const { browser } = await introduced();
  browser.jar.set(PASS, "q");
  for (const more of [{ "sec-fetch-dest": "iframe" }, { "sec-purpose": "prefetch" }]) {
    const asked = await browser.visit("/orders", more);
    assert.deepEqual([asked.status, cookieLines(asked, TRANSACTION)], [200, []], "the page that names both, which no frame shows");
    const { made } = browser;
    const nobody = await made.browser().visit("/orders", more);
    assert.deepEqual([nobody.status, (await nobody.json()).error, nobody.headers.getSetCookie()], [401, "login_required", []]);
  }
});

test("other methods are refused, and other addresses are the application's", async () => {
  const { pos, browser } = await world();
  for (const path of ["/.sso/start", "/.sso/callback", "/.sso/sync"]) {
    const answer = await browser.submit(path);
    assert.deepEqual([answer.status, answer.headers.get("allow")], [405, "GET"], path);
  }
  for (const [path, allow] of [["/.sso/sign-out", "POST"], ["/.sso/backchannel", "POST"]]) {
    const answer = await browser.visit(path);
    assert.deepEqual([answer.status, answer.headers.get("allow")], [405, allow], path);
  }
  browser.jar.set(PASS, "p");
  for (const path of ["/.sso/", "/.sso/other", "/.sso/start/", "/.SSO/start"]) assert.ok((await (await browser.visit(path)).text()).startsWith("ana "), path);
  const forged = await pos.send("/.sso/start", { "sec-fetch-site": "cross-site" }, { method: "POST" });
  assert.equal(forged.status, 403);
});

test("whoever asks is told which engine stands behind this agent", async () => {
  const { fake, pos, browser } = await world();
  const answer = await pos.send("/.well-known/sso-agent", { origin: fake.url, "sec-fetch-mode": "cors" });
  assert.deepEqual(await answer.json(), { issuer: fake.url, app: "pos" });
  const header = (name) => answer.headers.get(name);
  assert.deepEqual([answer.status, header("content-type"), header("access-control-allow-origin"), header("cache-control")], [200, "application/json", fake.url, "no-store"]);
  assert.equal((await browser.submit("/.well-known/sso-agent")).status, 405);
});

test("going round in circles ends with a page that says why", async () => {
  const { fake, pos, browser } = await world();
  browser.deaf = [PASS];
  for (let round = 0; round < 3; round += 1) {
    assert.equal(leadsTo(await browser.visit(fake.handsOver(leadsTo(await browser.visit("/orders")), "p"))), "/orders");
  }
  const stuck = await browser.visit("/orders");
  assert.deepEqual([stuck.status, (await stuck.text()).includes("did not bring the sign-in cookie")], [400, true]);
  assert.equal((await browser.visit("/.sso/start?r=/orders")).status, 400, "also from its own address");
  assert.ok(isAuthorize(fake, leadsTo(await browser.visit("/.sso/start?chain=c"))), "chains are counted by the engine");
  pos.advance(30_000);
  assert.ok(isAuthorize(fake, leadsTo(await browser.visit("/orders"))));

  const other = pos.browser({ [PASS]: "never.accepted" });
  for (let round = 0; round < 3; round += 1) await other.visit("/orders");
  assert.ok((await (await other.visit("/orders")).text()).includes("is not accepted here"));
});

test("passes of different people are removed, and home decides", async () => {
  const { fake, pos } = await world();
  const both = { cookie: `${PASS}=p; ${PASS}=q`, "sec-fetch-mode": "navigate" };
  for (const path of ["/orders", "/.sso/start?r=/orders"]) {
    const answer = await pos.send(path, both);
    assert.ok(isAuthorize(fake, leadsTo(answer)));
    assert.ok(cookieLines(answer, PASS).includes(`${PASS}=; Path=/orders; Domain=company2.localhost; Max-Age=0; Secure; HttpOnly; SameSite=Lax`), path);
  }
  const four = await pos.send("/.sso/start?r=/orders", { ...both, cookie: Array(4).fill(`${PASS}=p`).join("; ") });
  assert.ok(isAuthorize(fake, leadsTo(four)) && cookieLines(four, PASS).length > 0, "also of too many");
});

// ---- who it is --------------------------------------------------------------------------------------------------------

/** A browser in which this app has accepted ana. */
async function introduced(options) {
  const { fake, pos, browser, back } = await handedOver(options);
  await browser.visit(back);
  assert.ok((await (await browser.visit("/")).text()).startsWith("ana "));
  return { fake, pos, browser };
}

test("another person's pass is neither accepted nor asked about: home shows who it is", async () => {
  const { fake, browser } = await introduced();
  const seen = browser.jar.get(SEEN);
  browser.jar.set(PASS, "q");
  const refused = await browser.fetch("/orders");
  assert.deepEqual([refused.status, (await refused.json()).error], [409, "subject_switch"]);
  assert.ok((await (await browser.submit("/orders")).text()).includes("Continue as ben"), "a form is not carried out; one click goes on");
  const location = leadsTo(await browser.visit("/orders?x=1"));
  assert.equal(browser.jar.get(SEEN), seen);
  assert.equal(leadsTo(await browser.visit(fake.handsOver(location, "q"))), "/orders?x=1");
  assert.notEqual(browser.jar.get(SEEN), seen);
  assert.ok((await (await browser.visit("/orders?x=1")).text()).startsWith("ben "));
});

test("a tossed pass of a sibling's is overwritten with that of the person at home", async () => {
  const { fake, browser } = await introduced();
  browser.jar.set(PASS, "q");
  assert.equal(leadsTo(await browser.visit(fake.handsOver(leadsTo(await browser.visit("/orders")), "p"))), "/orders");
  assert.ok((await (await browser.visit("/orders")).text()).startsWith("ana "));
});

test("an app that confirms the first contact lets home confirm it", async () => {
  const { fake, pos } = await world({ firstContact: "confirm" });
  const browser = pos.browser({ [PASS]: "p" });
  assert.equal((await (await browser.fetch("/")).json()).error, "confirmation_required");
  for (const path of ["/.sso/start?r=/orders", "/orders"]) assert.ok(isAuthorize(fake, leadsTo(await browser.visit(path))), path);
  await browser.visit(fake.handsOver(leadsTo(await browser.visit("/orders")), "p"));
  assert.ok((await (await browser.visit("/orders")).text()).startsWith("ana "));
});

test("a browser that does not keep who it is ends at the loop guard's page", async () => {
  const { fake, pos } = await world({ firstContact: "confirm" });
  const browser = pos.browser({ [PASS]: "p" });
  browser.deaf = [SEEN];
  for (let round = 0; round < 3; round += 1) await browser.visit(fake.handsOver(leadsTo(await browser.visit("/orders")), "p"));
  const stuck = await browser.visit("/orders");
  assert.deepEqual([stuck.status, (await stuck.text()).includes("does not keep this application’s own")], [400, true]);
});

test("a permission on an open page is somebody's: another person's pass does not go round in circles", async () => {
  const { fake, browser } = await introduced();
  browser.jar.set(PASS, "q");
  assert.ok((await (await browser.visit("/public/page")).text()).startsWith("anonymous "));
  const start = leadsTo(await browser.visit("/public/refunds"));
  assert.equal(start, "/.sso/start?r=%2Fpublic%2Frefunds");
  await browser.visit(fake.handsOver(leadsTo(await browser.visit(start)), "q"));
  assert.equal((await browser.visit("/public/refunds")).status, 403, "ben, who may not");
});

test("the middleware of node:http serves the agent, too", async () => {
  const { fake, pos } = await world();
  const guard = pos.hallpass.express();
  const server = createServer((request, response) => guard(request, response, () => response.end("passed")));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = new Browser({
    send: (path, headers) =>
      new Promise((resolve, reject) => {
        const call = httpRequest({ host: "127.0.0.1", port: server.address().port, path, headers, agent: false }, async (response) => {
          let text = "";
          for await (const chunk of response) text += chunk;
          const lines = response.rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [[name, response.rawHeaders[at + 1]]] : []));
          resolve(new Response(text, { status: response.statusCode, headers: lines }));
        });
        call.on("error", reject).end();
      }),
  });
  const returned = await browser.visit(fake.handsOver(leadsTo(await browser.visit("/orders")), "p"));
  assert.deepEqual([leadsTo(returned), returned.headers.getSetCookie().length], ["/orders", 3]);
  assert.equal(await (await browser.visit("/orders")).text(), "passed");
  assert.deepEqual(await (await browser.fetch("/.well-known/sso-agent")).json(), { issuer: fake.url, app: "pos" });
  server.close();
});

test("a transaction sealed before the secret was replaced still ends well", async () => {
  const { fake, browser, back } = await handedOver({ secretKey: "hp_sk_old", clock: { monotonic: () => 0, unixSeconds: () => BORN } });
  browser.made = app(fake, { previousSecretKeys: ["hp_sk_old"] });
  assert.equal(leadsTo(await browser.visit(back)), "/orders");
});
