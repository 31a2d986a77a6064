// What apps do that are agents (protocol §1, §2, §8, §9), against the real engine: one at another root domain, one whose pass is for its host
// alone, one of the home zone that has every first contact confirmed. README.md says what a sample app must do and how to run this.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Browser } from "./browser.mjs";
import { eventually, freePort } from "./http.mjs";
import { App, Engine, PASS, SEEN, secrets } from "./world.mjs";

const BOUND_PASS = "__Host-Http-hallpass-pass";
const NOBODY = "__Host-Http-hallpass-nobody";
const TRANSACTION = "__Host-Http-hallpass-tx-";

let engine;
let pos; // of the home zone, no agent
let outlet; // at another root domain, its own agent
let safe; // bound to its own host
let desk; // of the home zone, its own agent, asks on first contact
let apps;

before(async () => {
  const usual = { firstContact: "trust", csrf: "origin", grace: 0 };
  pos = new App("pos", await freePort(), usual);
  outlet = new App("outlet", await freePort(), { ...usual, agent: "on", host: "outlet.company2.localhost" });
  safe = new App("safe", await freePort(), { ...usual, agent: "bound" });
  desk = new App("desk", await freePort(), { ...usual, agent: "on", firstContact: "confirm" });
  apps = [pos, outlet, safe, desk];
  const roles = { seller: ["canCreateOrder"], refunder: ["canRefund"] };
  const entry = (app, more = []) => ({ origin: app.origin, sensitive: false, roles, more });
  engine = await Engine.start({
    pos: entry(pos),
    outlet: entry(outlet, ['zone = "company2"', "agent = true"]),
    safe: entry(safe, ['zone = "safe"', "agent = true"]),
    desk: entry(desk, ["agent = true", 'first_contact = "confirm"']),
  }, {
    ana: { pos: ["seller", "refunder"], outlet: ["seller"], safe: ["seller"], desk: ["seller"] },
    ben: { pos: ["seller"], outlet: ["seller", "refunder"], safe: ["seller"], desk: ["seller"] },
  }, {
    company2: ['cookie_domain = "company2.localhost"'],
    safe: ['cookie_domain = "safe.company.localhost"', "bound = true"],
  });
  await Promise.all(apps.map((app) => app.start(engine)));
  await engine.heardBy(apps.length, 10_000);
});

after(async () => {
  await Promise.all((apps ?? []).map((app) => app?.child && app.stop()));
  if (engine) await engine.remove();
});

const callbackOf = (app) => `${app.origin}/.sso/callback`;
const transactions = (browser) => browser.jar.filter(({ name }) => name.startsWith(TRANSACTION));

/** Somebody who has signed in at home, on the way to the point of sale. */
async function atHome(username, browser = new Browser(engine)) {
  const page = await browser.signIn(await browser.open(`${pos.origin}/`), username);
  assert.deepEqual([page.url, page.json.caller.username], [`${pos.origin}/`, username]);
  return browser;
}

/** The same, known at an app by now. */
async function knownAt(app, username) {
  const browser = await atHome(username);
  const page = await browser.open(`${app.origin}/`);
  assert.equal(page.json.caller.username, username, browser.path.join("\n"));
  return browser;
}

/** Follows a handoff up to the address that the engine sends back to the app, without opening it. */
async function halfway(browser, app, path = "/orders") {
  const begun = await browser.ask(app.origin + path);
  const answer = await browser.ask(begun.location, { site: "cross-site" });
  assert.ok(answer.location.startsWith(`${callbackOf(app)}?`), answer.toString());
  const code = new URL(answer.location).searchParams.get("code");
  assert.ok(code, answer.location);
  secrets.add(code);
  return answer.location;
}

function assertRefused(answer) {
  assert.equal(answer.status, 403, answer.toString());
  assert.equal(answer.header("cache-control"), "no-store");
  assert.ok(answer.body.includes('href="/"'), "a way to start again");
  for (const name of [PASS, BOUND_PASS, SEEN]) assert.deepEqual(answer.setCookies(name), [], name);
}

// ---- signing in once ----------------------------------------------------------------------------------------------------

test("signed in at home, known at another root domain without a form", async () => {
  const browser = await atHome("ana");
  const page = await browser.open(`${outlet.origin}/orders/5?open=1&x=%C3%A9`);
  assert.deepEqual(browser.path, [`GET ${outlet.origin}/orders/5`, `GET ${engine.url}/handoff/authorize`, `GET ${callbackOf(outlet)}`, `GET ${outlet.origin}/orders/5`]);
  assert.equal(page.url, `${outlet.origin}/orders/5?open=1&x=%C3%A9`);
  const { caller } = page.json;
  secrets.add(caller.csrf_token);
  assert.deepEqual([caller.username, caller.permissions], ["ana", ["canCreateOrder"]], "the rights are those of that app");
  assert.deepEqual(browser.cookies(PASS).map(({ domain, hostOnly }) => [domain, hostOnly]).sort(), [["company.localhost", false], ["company2.localhost", false]]);
  assert.deepEqual(transactions(browser), []);
  await browser.open(`${outlet.origin}/`);
  assert.equal(browser.path.length, 1, "the pass is there now");
});

test("who is nobody yet signs in at home and is back where they wanted to be", async () => {
  const browser = new Browser(engine);
  const form = await browser.open(`${outlet.origin}/orders/5?open=1`);
  assert.ok(form.url.startsWith(`${engine.url}/sign-in`), form.url);
  const page = await browser.signIn(form, "ben");
  assert.deepEqual([page.url, page.json.caller?.username], [`${outlet.origin}/orders/5?open=1`, "ben"], browser.path.join("\n"));
  const home = await browser.open(`${pos.origin}/`);
  assert.deepEqual([home.json.caller.username, browser.path.length], ["ben", 1], "and home knows, too");
});

test("a program is told where a handoff begins, and that address leads back", async () => {
  const browser = await atHome("ana");
  const answer = await outlet.fetch("/api", [], [["Referer", `${outlet.origin}/orders/5?open=1`]]);
  assert.deepEqual([answer.status, answer.json], [401, { error: "login_required", sign_in_url: `${outlet.origin}/.sso/start?r=%2Forders%2F5%3Fopen%3D1` }]);
  const page = await browser.open(answer.json.sign_in_url);
  assert.deepEqual([page.url, page.json.caller.username], [`${outlet.origin}/orders/5?open=1`, "ana"]);
  const again = await browser.ask(answer.json.sign_in_url);
  assert.equal(again.location, "/orders/5?open=1", "who has a pass needs no handoff");
});

test("an open page knows who is signed in at home; everybody else notices nothing", async () => {
  const ana = await atHome("ana");
  assert.equal((await ana.open(`${outlet.origin}/public/page?a=1`)).json.caller.username, "ana");
  const stranger = new Browser(engine);
  const page = await stranger.open(`${outlet.origin}/public/page?a=1`);
  assert.deepEqual([page.url, page.status, page.json.caller], [`${outlet.origin}/public/page?a=1`, 200, null]);
  assert.equal(stranger.cookies(NOBODY).length, 1);
  await stranger.open(`${outlet.origin}/public/page?a=1`);
  assert.equal(stranger.path.length, 1, "asked once");
  const crawler = await outlet.visit("/public/page", [], [["User-Agent", "Googlebot/2.1"], ["Sec-Fetch-Dest", "document"]]);
  assert.deepEqual([crawler.status, crawler.json.caller], [200, null]);
});

test("no address of the agent's leads people to another origin", async () => {
  const browser = await knownAt(outlet, "ana");
  for (const r of ["//evil.example", "/\\evil.example", "https://evil.example/", "/%0d%0aLocation:%20https://evil.example", "/%09/evil.example", "/.sso/start", "javascript:alert(1)"]) {
    const { location } = await browser.ask(`${outlet.origin}/.sso/start?r=${encodeURIComponent(r)}`);
    assert.equal(location, "/", r);
  }
  for (const chain of ["//evil.example", "a&b=c", "a%0d%0ab", ""]) {
    assert.equal((await browser.ask(`${outlet.origin}/.sso/start?chain=${encodeURIComponent(chain)}`)).location, "/", chain);
    assert.equal((await browser.ask(`${outlet.origin}/.sso/sync?chain=${encodeURIComponent(chain)}`)).location, "/", chain);
  }
  const page = await browser.open(`${outlet.origin}/.sso/start?app=outlet&return_to=${encodeURIComponent("https://evil.example/")}`);
  assert.ok(browser.path.every((step) => !step.includes("evil.example")), browser.path.join("\n"));
  assert.ok(page.status >= 400 && page.url.startsWith(`${engine.url}/`), "refused where it is judged");
});

// ---- codes that somebody else has ---------------------------------------------------------------------------------------

test("a code in another browser signs nobody in", async () => {
  const callback = await halfway(await atHome("ben"), outlet);
  const victim = new Browser(engine);
  const answer = await victim.ask(callback);
  assertRefused(answer);
  assert.deepEqual(victim.jar, []);
  const ana = await knownAt(outlet, "ana");
  assert.equal((await ana.ask(callback)).location, "/", "who is somebody goes home");
  assert.equal((await ana.open(`${outlet.origin}/`)).json.caller.username, "ana");
});

test("a code under another browser's transaction signs nobody in", async () => {
  const stolen = new URL(await halfway(await atHome("ben"), outlet)).searchParams.get("code");
  const victim = await atHome("ana");
  const own = new URL(await halfway(victim, outlet));
  own.searchParams.set("code", stolen);
  assertRefused(await victim.ask(own.href));
  assert.deepEqual([victim.cookies(PASS).length, transactions(victim)], [1, []]);
});

test("the same callback again does nothing", async () => {
  const browser = await atHome("ana");
  const callback = await halfway(browser, outlet);
  const before = browser.clone();
  assert.equal((await browser.ask(callback)).location, "/orders");
  const again = await browser.ask(callback);
  assert.deepEqual([again.location, again.setCookies(PASS)], ["/", []], "who is signed in goes home");
  before.jar = before.jar.filter(({ name }) => !name.startsWith(TRANSACTION));
  assertRefused(await before.ask(callback));
});

test("an answer of another issuer's is refused", async () => {
  const browser = await atHome("ana");
  const callback = new URL(await halfway(browser, outlet));
  callback.searchParams.set("iss", "https://evil.example");
  assertRefused(await browser.ask(callback.href));
  assert.deepEqual(transactions(browser), []);
});

test("frames, images and prefetches begin and end nothing", async () => {
  const browser = await atHome("ana");
  const callback = await halfway(browser, outlet);
  for (const url of [`${outlet.origin}/.sso/start?r=/orders`, callback, `${outlet.origin}/.sso/sync?chain=c`]) {
    for (const how of [{ dest: "iframe" }, { dest: "image" }, { more: [["Sec-Purpose", "prefetch;prerender"]] }]) {
      const answer = await browser.ask(url, how);
      assert.deepEqual([answer.status, answer.lines.filter(([name]) => name === "set-cookie")], [403, []], `${url} ${JSON.stringify(how)}`);
    }
  }
  assert.equal((await browser.ask(callback)).location, "/orders", "nothing was used up");
});

test("the engine finds the agent", async () => {
  const answer = await outlet.send({ path: "/.well-known/sso-agent", headers: [["Origin", engine.url], ["Sec-Fetch-Mode", "cors"]] });
  assert.deepEqual([answer.status, answer.json], [200, { issuer: engine.url, app: "outlet" }]);
  assert.deepEqual([answer.header("access-control-allow-origin"), answer.header("content-type"), answer.header("cache-control")], [engine.url, "application/json", "no-store"]);
  assert.notEqual((await pos.send({ path: "/.well-known/sso-agent" })).json?.issuer, engine.url, "where there is none, there is none");
});

// ---- who it is ----------------------------------------------------------------------------------------------------------

test("another person's pass is not accepted: home shows who it is", async () => {
  const ana = await knownAt(outlet, "ana");
  const ben = await knownAt(outlet, "ben");
  const [seen] = ana.cookies(SEEN).filter(({ domain }) => domain === "outlet.company2.localhost");
  const [tossed] = ben.cookies(PASS).filter(({ domain }) => domain === "company2.localhost");
  const isPass = ({ name, domain }) => name === PASS && domain === "company2.localhost";
  ana.jar = [...ana.jar.filter((cookie) => !isPass(cookie)), tossed];
  const refused = await ana.fetch(`${outlet.origin}/orders`);
  assert.deepEqual([refused.status, refused.json.error], [409, "subject_switch"]);
  const page = await ana.open(`${outlet.origin}/orders`);
  assert.deepEqual([page.url, page.json.caller.username], [`${outlet.origin}/orders`, "ana"], ana.path.join("\n"));
  assert.ok(ana.path.includes(`GET ${engine.url}/handoff/authorize`));

  // ben signs in in ana's browser: nobody has to be asked.
  await ana.open(`${engine.url}/sign-out`);
  const borrowed = ben.clone();
  borrowed.jar = [...borrowed.jar.filter(({ name, domain }) => !(name === SEEN && domain === seen.domain)), seen];
  const switched = await borrowed.open(`${outlet.origin}/orders`);
  assert.deepEqual([switched.status, switched.json.caller.username], [200, "ben"], borrowed.path.join("\n"));
  assert.notEqual(borrowed.cookies(SEEN).find(({ domain }) => domain === seen.domain).value, seen.value);
});

test("an app that asks on first contact has home confirm it", async () => {
  const browser = await atHome("ana");
  const program = await browser.fetch(`${desk.origin}/`);
  assert.deepEqual([program.status, program.json.error], [409, "confirmation_required"]);
  const page = await browser.open(`${desk.origin}/orders`);
  assert.deepEqual([page.url, page.json.caller.username], [`${desk.origin}/orders`, "ana"]);
  assert.deepEqual(browser.path, [`GET ${desk.origin}/orders`, `GET ${engine.url}/handoff/authorize`, `GET ${callbackOf(desk)}`, `GET ${desk.origin}/orders`]);
  await browser.open(`${desk.origin}/orders`);
  assert.equal(browser.path.length, 1, "once per browser");
});

test("cookies that do not stick end with a page that says why", async () => {
  const browser = await atHome("ana");
  const forget = () => (browser.jar = browser.jar.filter(({ name, domain }) => !(name === PASS && domain === "company2.localhost")));
  for (let round = 0; round < 3; round += 1) {
    assert.equal((await browser.ask(await halfway(browser, outlet, "/circle"))).location, "/circle");
    forget();
  }
  const stuck = await browser.ask(`${outlet.origin}/circle`);
  assert.deepEqual([stuck.status, stuck.body.includes("Signing in goes round in circles")], [400, true], stuck.toString());
});

// ---- bound --------------------------------------------------------------------------------------------------------------

test("a bound app knows its own pass and no other", async () => {
  const browser = await atHome("ana");
  assert.equal((await browser.fetch(`${safe.origin}/`)).status, 401, "the pass of the whole domain arrives there and says nothing");
  const page = await browser.open(`${safe.origin}/orders`);
  assert.deepEqual([page.url, page.json.caller.username], [`${safe.origin}/orders`, "ana"], browser.path.join("\n"));
  const [own, ...others] = browser.cookies(BOUND_PASS);
  assert.deepEqual([own.domain, own.hostOnly, own.path, others], ["safe.company.localhost", true, "/", []]);
  assert.equal((await pos.fetch("/", [[PASS, own.value]])).status, 401, "and it is good there only");
  const [wildcard] = browser.cookies(PASS);
  assert.equal((await safe.fetch("/", [[BOUND_PASS, wildcard.value]])).status, 401);
});

test("what a sibling tosses changes nothing at a bound app", async () => {
  const browser = await knownAt(safe, "ana");
  const ben = await atHome("ben");
  browser.toss(PASS, ben.cookies(PASS)[0].value, "company.localhost");
  browser.toss(PASS, "tossed.by.sibling", "safe.company.localhost");
  const page = await browser.open(`${safe.origin}/orders`);
  assert.deepEqual([page.json.caller.username, browser.path.length], ["ana", 1]);
});

// ---- signing out --------------------------------------------------------------------------------------------------------

for (const path of ["/.sso/sign-out", "/.hallpass/sign-out"]) {
  test(`${path} at another root domain ends everything, and says so`, async () => {
    const browser = await knownAt(outlet, "ana");
    const { caller } = (await browser.open(`${safe.origin}/`)).json;
    const before = browser.clone();
    await engine.noted(caller.session_id, ["outlet", "pos", "safe"]);
    const answer = await browser.submit(outlet.origin + path);
    assert.ok(answer.location.startsWith(`${engine.url}/`), answer.toString());
    assert.deepEqual(browser.cookies(PASS).filter(({ domain }) => domain === "company2.localhost"), []);
    assert.ok(!engine.sessionsOf("ana").includes(caller.session_id), "ended at the engine");
    const receipt = await browser.follow(answer);
    assert.ok(receipt.url.startsWith(`${engine.url}/`) && receipt.status === 200, `${receipt.url} ${receipt}`);
    for (const { key } of [outlet, pos, safe]) assert.ok(receipt.body.includes(`<strong>${key}</strong>`), `${key} in ${receipt}`);
    assert.ok(browser.path.includes(`GET ${safe.origin}/.sso/sync`), `its zone is on the way:\n${browser.path.join("\n")}`);
    assert.deepEqual([...browser.cookies(PASS), ...browser.cookies(BOUND_PASS), ...browser.cookies(SEEN).filter(({ domain }) => domain === "safe.company.localhost")], []);
    for (const app of [pos, outlet, safe]) {
      await eventually(`nobody is signed in at ${app.key}`, 2000, async () => {
        const { status } = await before.fetch(`${app.origin}/`);
        return status === 401 || status;
      });
    }
    assert.ok((await browser.open(`${outlet.origin}/`)).url.startsWith(`${engine.url}/sign-in`), "asked to sign in again");
  });
}

test("signing out is for the app's own pages, and a program is told where the receipt is", async () => {
  const browser = await knownAt(outlet, "ana");
  const cookies = browser.cookies(PASS).filter(({ domain }) => domain === "company2.localhost").map(({ name, value }) => [name, value]);
  for (const site of ["same-site", "cross-site", "none"]) {
    const forged = await outlet.submit("/.sso/sign-out", cookies, {}, { site });
    assert.deepEqual([forged.status, forged.setCookies(PASS)], [403, []], site);
  }
  assert.equal((await browser.ask(`${outlet.origin}/.sso/sign-out`)).status, 405);
  assert.equal((await outlet.fetch("/", cookies)).status, 200);
  const headers = [["Sec-Fetch-Mode", "cors"], ["Sec-Fetch-Site", "same-origin"], ["Cookie", cookies.map((pair) => pair.join("=")).join("; ")]];
  const answer = await outlet.send({ method: "POST", path: "/.sso/sign-out", headers });
  assert.deepEqual([answer.status, answer.json.signed_out], [200, true], answer.toString());
  assert.ok(answer.json.continue_at.startsWith(`${engine.url}/`));
});

test("a step of the walk after signing out does what the engine says, not what its address says", async () => {
  const browser = await knownAt(outlet, "ben");
  const before = browser.clone();
  const live = await browser.ask(`${outlet.origin}/.sso/sync?chain=forged`);
  assert.deepEqual([live.location, live.setCookies(PASS), live.setCookies(SEEN)], [`${engine.url}/sign-out/next?chain=forged`, [], []]);
  engine.cli(["session", "end-all", "ben"]);
  await eventually("the session has ended", 2000, async () => {
    const { status } = await before.fetch(`${outlet.origin}/`);
    return status === 401 || status;
  });
  await browser.ask(`${outlet.origin}/.sso/sync?chain=forged`);
  assert.deepEqual(browser.cookies(PASS).filter(({ domain }) => domain === "company2.localhost"), []);
  assert.deepEqual(browser.cookies(SEEN).filter(({ domain }) => domain === "outlet.company2.localhost"), []);
});

test("a hint that a session has ended is for the engine to send, and forged signs nobody out", async () => {
  const browser = await knownAt(outlet, "ana");
  const { session_id: sid } = (await browser.fetch(`${outlet.origin}/`)).json.caller;
  const claims = Buffer.from(JSON.stringify({ iss: engine.url, aud: "outlet", sid })).toString("base64url");
  const post = (token, more = []) =>
    outlet.send({ method: "POST", path: "/.sso/backchannel", headers: [["Content-Type", "application/x-www-form-urlencoded"], ...more], body: new URLSearchParams({ logout_token: token }).toString() });
  const heard = await post(`e30.${claims}.c2ln`);
  assert.deepEqual([heard.status, heard.body, heard.header("cache-control")], [200, "", "no-store"]);
  assert.equal((await browser.fetch(`${outlet.origin}/`)).json.caller.username, "ana", "one more question to the engine");
  assert.equal((await post("nonsense")).status, 400);
  for (const more of [["Origin", engine.url], ["Sec-Fetch-Site", "cross-site"]]) assert.equal((await post(`e30.${claims}.c2ln`, [more])).status, 403);
});

test("nothing secret was printed by the apps", () => {
  const output = apps.map((app) => app.output).join("");
  assert.ok(output.includes("listening"), "output is collected");
  assert.ok(secrets.size > 30, "there were secrets to print");
  for (const secret of secrets) {
    assert.ok(secret.length >= 8 && !output.includes(secret), `${secret.slice(0, 12)}… in the output`);
    const proof = secret.split(".").at(-1);
    assert.ok(proof.length < 8 || !output.includes(proof), `the end of ${secret.slice(0, 12)}… in the output`);
  }
});
