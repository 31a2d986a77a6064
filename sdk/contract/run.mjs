// The contract that every SDK fulfils (protocol §2, §4 to §7, §9, §12, §20), against the real engine, over plain HTTP. What apps do that are
// agents is in agent.mjs.
// README.md says what a sample app must do and how to run this.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { eventually, freePort } from "./http.mjs";
import { App, BOUNCE, Engine, PASS, Person, SEEN, secrets } from "./world.mjs";

const GRACE = 3000;

let engine;
let pos; // as most apps are
let vault; // sensitive, asks on first contact, demands CSRF tokens
let ledger; // sensitive, so nothing is cached, with a declared grace

before(async () => {
  pos = new App("pos", await freePort(), { firstContact: "trust", csrf: "origin", grace: 0 });
  vault = new App("vault", await freePort(), { firstContact: "confirm", csrf: "token", grace: 0 });
  ledger = new App("ledger", await freePort(), { firstContact: "trust", csrf: "origin", grace: GRACE });
  engine = await Engine.start({
    pos: { origin: pos.origin, sensitive: false, roles: { seller: ["canCreateOrder"], refunder: ["canRefund"] } },
    vault: { origin: vault.origin, sensitive: true, roles: { keeper: ["canOpen"] } },
    ledger: { origin: ledger.origin, sensitive: true, roles: { clerk: ["canRead"] } },
  }, {
    ana: { pos: ["seller", "refunder"], vault: ["keeper"], ledger: ["clerk"] },
    ben: { pos: ["seller"], vault: ["keeper"], ledger: ["clerk"] },
  });
  await Promise.all([pos, vault, ledger].map((app) => app.start(engine)));
  await engine.heardBy(3, 10_000);
});

after(async () => {
  await Promise.all([pos, vault, ledger].map((app) => app?.child && app.stop()));
  if (engine) await engine.remove();
});

const encoded = encodeURIComponent;
const signInUrl = (app, path) => `${engine.url}/sign-in?app=${app.key}&return_to=${encoded(app.origin + path)}`;
const refreshUrl = (app, path) => `${engine.url}/pass/refresh?app=${app.key}&return_to=${encoded(app.origin + path)}`;

/** Signs somebody in, in a browser of their own, from the address that the app sends them to. */
async function signedIn(username, app = pos, path = "/orders/5?open=1") {
  const person = new Person(engine, username);
  const sentTo = (await app.visit(path)).location;
  assert.equal(await person.signIn(sentTo), app.origin + path, "back where they wanted to be");
  return person;
}

/** Opens a page as somebody who has just come; returns them with what the app now knows of this browser. */
async function introduced(username, app = pos) {
  const person = await signedIn(username, app);
  const page = await app.visit("/", person.cookies);
  assert.equal(page.status, 200, page.toString());
  const seen = page.cookie(SEEN);
  secrets.add(seen);
  return { person, seen, cookies: [...person.cookies, [SEEN, seen]] };
}

function assertRefusal(answer, status, error) {
  assert.deepEqual([answer.status, answer.json.error], [status, error], answer.toString());
  assert.equal(answer.header("cache-control"), "no-store");
  assert.equal(answer.header("content-type"), "application/problem+json");
}

function assertPage(answer, status, text) {
  assert.equal(answer.status, status, answer.toString());
  assert.ok(answer.body.includes(text), `${text} in ${answer}`);
  assert.equal(answer.header("content-type"), "text/html; charset=utf-8");
  assert.match(answer.header("content-security-policy"), /default-src 'none'.*frame-ancestors 'none'/);
  assert.equal(answer.header("cache-control"), "no-store");
  assert.equal(answer.header("referrer-policy"), "same-origin");
}

// ---- who is nobody ----------------------------------------------------------------------------------------------------

test("without a pass people are sent to sign in, with the way back", async () => {
  const answer = await pos.visit("/orders/5?open=1");
  assert.equal(answer.location, signInUrl(pos, "/orders/5?open=1"));
  assert.equal(answer.header("cache-control"), "no-store");
  assert.match(answer.header("vary"), /^cookie$/i);
  const byAccept = await pos.send({ path: "/orders/5", headers: [["Accept", "text/html"]] });
  assert.equal(byAccept.location, signInUrl(pos, "/orders/5"), "browsers without Fetch Metadata too");
});

test("without a pass programs get 401 and are told where to sign in", async () => {
  const answer = await pos.fetch("/api/orders", [], [["Referer", `${pos.origin}/orders/5?open=1`]]);
  assert.equal(answer.status, 401, answer.toString());
  assert.deepEqual(answer.json, { error: "login_required", sign_in_url: signInUrl(pos, "/orders/5?open=1") });
  assert.equal(answer.header("content-type"), "application/json");
  assert.equal(answer.header("www-authenticate"), 'Hallpass realm="pos"');
  assert.equal(answer.header("cache-control"), "no-store");
  const elsewhere = await pos.fetch("/api/orders", [], [["Referer", "https://evil.example/x"]]);
  assert.equal(elsewhere.json.sign_in_url, signInUrl(pos, "/"), "only pages of the app itself are gone back to");
});

test("a form of somebody who is not signed in is not carried out, and says so", async () => {
  const before = await pos.acted();
  assertPage(await pos.submit("/orders", [], { a: "1" }), 401, "was <strong>not</strong> carried out");
  assert.equal(await pos.acted(), before);
});

test("no path and no header leads people to another origin", async () => {
  const paths = [
    "//evil.example", "///evil.example", "/\\evil.example", "/..//evil.example", "/%0d%0aLocation:%20https://evil.example",
    "/%09/evil.example", "http://evil.example/x", "/;@evil.example", "/@evil.example",
  ];
  let followed = 0;
  for (const path of paths) {
    const answer = await pos.visit(path);
    // The server that the SDK stands on may know better than to let such a target through.
    if (answer.status === 400 && answer.header("location") === "") continue;
    followed += 1;
    const to = new URL(answer.location);
    assert.equal(to.origin + to.pathname, `${engine.url}/sign-in`, path);
    const back = new URL(to.searchParams.get("return_to"));
    assert.equal(back.origin, pos.origin, path);
    assert.ok(!back.pathname.startsWith("//") && !/%0d|%0a|%09/i.test(back.href), `${path} gives ${back}`);
  }
  assert.ok(followed >= 6, `${followed} of them reached the SDK`);
  const lying = [["X-Forwarded-Host", "evil.example"], ["Forwarded", "host=evil.example"], ["X-Forwarded-Proto", "http"]];
  assert.equal((await pos.visit("/nested/page", [], lying)).location, signInUrl(pos, "/nested/page"));
  const otherHost = await pos.send({ path: "/x", headers: [["X-Original-Url", "/evil"], ["Accept", "text/html"]] });
  assert.equal(otherHost.location, signInUrl(pos, "/x"));
});

test("a path declared open admits anonymous visitors, in one spelling only", async () => {
  const answer = await pos.visit("/public/page");
  assert.deepEqual([answer.status, answer.json.caller], [200, null], answer.toString());
  assert.equal(answer.json.sign_in_url, signInUrl(pos, "/public/page"));
  for (const path of ["/public/../orders", "/public/%2e%2e/orders", "/public/..%2forders", "/public;/../orders", "/publicity"]) {
    assert.match((await pos.visit(path)).location, /\/sign-in\?/, path);
  }
  assert.match((await pos.visit("/public/refunds")).location, /\/sign-in\?/, "a permission is somebody's");
  assert.equal((await pos.fetch("/public/refunds")).status, 401);
});

// ---- who is somebody --------------------------------------------------------------------------------------------------

test("a signed-in person is known, with their permissions in this app", async () => {
  const person = await signedIn("ana");
  const answer = await pos.visit("/orders/5", person.cookies);
  assert.equal(answer.status, 200, answer.toString());
  const { caller } = answer.json;
  secrets.add(caller.csrf_token);
  assert.deepEqual([caller.username, caller.permissions], ["ana", ["canCreateOrder", "canRefund"]]);
  assert.match(caller.user_id, /^u_/);
  assert.deepEqual(engine.sessionsOf("ana").includes(caller.session_id), true, "the session is the engine's");
  assert.equal(answer.header("cache-control"), "private, no-store");
  assert.match(answer.header("vary"), /^cookie$/i);
  const [line] = answer.setCookies(SEEN);
  assert.match(line, /^__Host-Http-hallpass-seen=[^;]+; Path=\/; Max-Age=34560000; Secure; HttpOnly; SameSite=Lax$/);
  secrets.add(answer.cookie(SEEN));
  const again = await pos.visit("/orders/5", [...person.cookies, [SEEN, answer.cookie(SEEN)]]);
  assert.deepEqual([again.status, again.setCookies(SEEN).length], [200, 0], "set once");
  assert.equal((await pos.visit("/public/page", person.cookies)).json.caller.username, "ana", "known on open paths too");
});

test("a permission is required where declared", async () => {
  const ana = await introduced("ana");
  const ben = await introduced("ben");
  assert.equal((await pos.visit("/refunds", ana.cookies)).status, 200);
  assertPage(await pos.visit("/refunds", ben.cookies), 403, "<h1>You may not do this</h1>");
  assertRefusal(await pos.fetch("/refunds", ben.cookies), 403, "not_permitted");
  const before = await pos.acted();
  assert.equal((await pos.submit("/refunds", ben.cookies, { a: "1" })).status, 403);
  assert.equal(await pos.acted(), before);
});

test("nothing personal goes into what others may keep, and no identity comes from outside", async () => {
  const { cookies, person } = await introduced("ana");
  const kept = await pos.fetch("/kept", person.cookies);
  assert.deepEqual([kept.status, kept.header("cache-control"), kept.setCookies(SEEN).length], [200, "public, max-age=60", 0]);
  const forged = [["X-Hallpass-User", "admin"], ["x_hallpass_roles", "admin"], ["X-HALLPASS", "admin"], ["X-Mine", "stays"]];
  const { headers } = (await pos.fetch("/headers", cookies, forged)).json;
  assert.deepEqual(headers.filter((name) => /hallpass/i.test(name)), []);
  assert.ok(headers.includes("x-mine"));
});

test("a role that is taken away is gone within two seconds", async () => {
  const { cookies } = await introduced("ana");
  assert.equal((await pos.fetch("/refunds", cookies)).status, 200);
  const holder = ["--app", "pos", "--role", "refunder", "--user", "ana"];
  engine.cli(["role", "revoke", ...holder]);
  await eventually("ana may not refund any more", 2000, async () => {
    const { status } = await pos.fetch("/refunds", cookies);
    return status === 403 || status;
  });
  engine.cli(["role", "grant", ...holder]);
  await eventually("ana may refund again", 2000, async () => {
    const { status } = await pos.fetch("/refunds", cookies);
    return status === 200 || status;
  });
});

test("a session that is ended is nobody's within two seconds", async () => {
  const { cookies } = await introduced("ben");
  assert.equal((await pos.fetch("/", cookies)).status, 200);
  engine.cli(["session", "end-all", "ben"]);
  await eventually("ben is signed out", 2000, async () => {
    const { status } = await pos.fetch("/", cookies);
    return status === 401 || status;
  });
  assert.equal((await pos.visit("/orders/5", cookies)).location, refreshUrl(pos, "/orders/5"), "perhaps there is a newer session at home");
});

test("somebody who is locked out is nobody within two seconds", async () => {
  const { cookies } = await introduced("ben");
  assert.equal((await pos.fetch("/", cookies)).status, 200);
  engine.cli(["user", "disable", "ben"]);
  await eventually("ben is locked out", 2000, async () => {
    const { status } = await pos.fetch("/", cookies);
    return status === 401 || status;
  });
  engine.cli(["user", "enable", "ben"]);
  assert.equal((await pos.fetch("/", cookies)).status, 401, "the old session stays ended");
});

test("many at once each get their own answer", async () => {
  const people = [await signedIn("ana"), await signedIn("ben"), await signedIn("ana")];
  const asked = Array.from({ length: 60 }, (_, at) => people[at % 3]);
  const answers = await Promise.all(asked.map((person) => pos.fetch("/", person.cookies)));
  assert.deepEqual(answers.map((answer) => answer.json.caller?.username), asked.map((person) => person.username));
  const sessions = new Set(answers.map((answer) => answer.json.caller.session_id));
  assert.equal(sessions.size, 3);
});

// ---- hostile cookies --------------------------------------------------------------------------------------------------

test("garbage, altered and foreign passes let nobody in", async () => {
  const { pass } = await signedIn("ana");
  const [head, body, signature] = pass.split(".");
  const claims = JSON.parse(Buffer.from(body, "base64url"));
  const packed = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const flipped = signature.slice(0, 10) + (signature[10] === "A" ? "B" : "A") + signature.slice(11);
  const spoiled = [
    "", "x", "a.b.c", '"quoted"', "a b", "a,b", "a%20b", "\xff\xfe", "a".repeat(5000), "..", pass.slice(0, -5), pass.slice(0, 40),
    `${head}.${body}.`, `${head}.${body}`, `${head}.${body}.${flipped}`, `"${pass}"`, `${pass}.${signature}`,
    `${head}.${packed({ ...claims, sub: "u_somebody_else" })}.${signature}`,
    `${head}.${packed({ ...claims, exp: claims.exp + 900 })}.${signature}`,
    `${packed({ alg: "none", typ: "pass+jwt" })}.${body}.`,
    `${packed({ alg: "HS256", typ: "pass+jwt", kid: "other" })}.${body}.${signature}`,
  ];
  for (const value of spoiled) {
    const answer = await pos.fetch("/", [[PASS, value]]);
    assert.equal(answer.status, 401, `${value.slice(0, 60)}: ${answer}`);
    assert.equal((await pos.fetch("/public/page", [[PASS, value]])).json.caller, null);
  }
  for (const name of ["__SECURE-hallpass-pass", "__secure-hallpass-pass", "__Secure-hallpass-pass2", "x__Secure-hallpass-pass"]) {
    assert.equal((await pos.fetch("/", [[name, pass]])).status, 401, name);
  }
  assert.equal((await pos.fetch("/", [[PASS, pass]])).status, 200, "the real one counts");
});

test("a pass doubled or tossed by a sibling is passed over", async () => {
  const { pass } = await signedIn("ana");
  const good = [PASS, pass];
  for (const cookies of [[good, good], [[PASS, "tossed.by.sibling"], good], [good, [PASS, "tossed.by.sibling"], [PASS, ""]]]) {
    const answer = await pos.fetch("/", cookies);
    assert.equal(answer.status, 200, answer.toString());
    assert.equal(answer.json.caller.username, "ana");
  }
  const split = await pos.fetch("/", [], [["Cookie", `${PASS}=tossed`], ["Cookie", `a=b; ${PASS}=${pass}`]]);
  assert.equal(split.json.caller.username, "ana", "cookies may come in several headers");
});

test("four passes are refused everywhere and removed", async () => {
  const { pass } = await signedIn("ana");
  const four = [[PASS, pass], [PASS, "a"], [PASS, "b"], [PASS, pass]];
  for (const path of ["/", "/public/page"]) {
    const answer = await pos.visit(path, four);
    assertPage(answer, 400, "Too many sign-in cookies");
    assert.ok(answer.setCookies(PASS).every((line) => line.includes("Max-Age=0")));
    assert.ok(answer.setCookies(PASS).includes(`${PASS}=; Path=/; Domain=company.localhost; Max-Age=0; Secure; HttpOnly; SameSite=Lax`));
  }
  assertRefusal(await pos.fetch("/", four), 400, "too_many_passes");
});

test("passes of different sessions conflict, and the session at home decides", async () => {
  const ana = await signedIn("ana");
  const ben = await signedIn("ben");
  const both = [...ben.cookies, ...ana.cookies];
  const answer = await pos.visit("/orders/5", both);
  assert.equal(answer.location, refreshUrl(pos, "/orders/5"));
  const expired = answer.setCookies(PASS);
  for (const place of [
    "Path=/; Max-Age=0", "Path=/; Domain=company.localhost; Max-Age=0", "Path=/orders; Domain=company.localhost; Max-Age=0",
    "Path=/orders/; Domain=company.localhost; Max-Age=0", "Path=/orders/5; Domain=pos.company.localhost; Max-Age=0",
  ]) {
    assert.ok(expired.some((line) => line.includes(place)), `${place} in ${expired}`);
  }
  const programs = await pos.fetch("/orders/5", both);
  assert.deepEqual([programs.status, programs.setCookies(PASS).length > 0], [401, true]);
  const before = await pos.acted();
  assert.equal((await pos.submit("/orders", both, { a: "1" })).status, 401);
  assert.equal(await pos.acted(), before);
  const open = await pos.fetch("/public/page", both);
  assert.deepEqual([open.json.caller, open.setCookies(PASS).length > 0], [null, true]);
  assert.equal((await pos.visit("/public/page", both)).location, refreshUrl(pos, "/public/page"), "a page can be left to find out");
  assert.equal((await ana.follow(answer.location)).location, `${pos.origin}/orders/5`);
  assert.equal((await pos.fetch("/", ana.cookies)).json.caller.username, "ana");
});

test("going round in circles ends with a page that says why", async () => {
  let counter = "";
  for (let round = 0; round < 3; round += 1) {
    const answer = await pos.visit("/circle", [[PASS, "never.accepted.here"], [BOUNCE, counter]]);
    assert.equal(answer.location, refreshUrl(pos, "/circle"));
    const [line] = answer.setCookies(BOUNCE);
    assert.match(line, /; Path=\/; Max-Age=30; Secure; HttpOnly; SameSite=Lax$/);
    counter = answer.cookie(BOUNCE);
  }
  assertPage(await pos.visit("/circle", [[PASS, "never.accepted.here"], [BOUNCE, counter]]), 400, "Signing in goes round in circles");
  assertPage(await pos.visit("/circle", [[BOUNCE, counter]]), 400, "did not bring the sign-in cookie");
  assert.equal((await pos.visit("/circle", [[PASS, "x"], [BOUNCE, counter], [BOUNCE, counter]])).status, 303, "a doubled counter is none");
  const { person } = await introduced("ana");
  const arrived = await pos.visit("/circle", [...person.cookies, [BOUNCE, counter]]);
  assert.equal(arrived.status, 200);
  assert.deepEqual(arrived.setCookies(BOUNCE), [`${BOUNCE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax`]);
});

// ---- another person ---------------------------------------------------------------------------------------------------

test("another person's pass is asked about, by name, and one click answers", async () => {
  const ana = await introduced("ana");
  const ben = await signedIn("ben");
  const cookies = [...ben.cookies, [SEEN, ana.seen]];
  const page = await pos.visit("/orders/5?open=1&x=2", cookies);
  assertPage(page, 200, "as <strong>ana</strong>");
  assert.ok(page.body.includes("Continue as ben") && page.body.includes("I am ana"), page.toString());
  assert.ok(page.header("content-security-policy").includes(`form-action 'self' ${engine.url}`));
  assert.equal(page.setCookies(SEEN).length, 0);
  assertRefusal(await pos.fetch("/orders/5", cookies), 409, "subject_switch");
  const before = await pos.acted();
  assertPage(await pos.submit("/orders", cookies, { a: "1" }), 200, "Continue as ben");
  assert.equal(await pos.acted(), before, "never an action");
  assert.equal((await pos.visit("/public/page", cookies)).json.caller, null);

  const form = { person: page.field("person"), return_to: page.field("return_to") };
  assert.equal(form.return_to, "/orders/5?open=1&x=2");
  for (const site of ["same-site", "cross-site", "none"]) {
    const forged = await pos.submit("/.hallpass/switch", cookies, form, { site });
    assertPage(forged, 403, "nothing was done");
    assert.equal(forged.setCookies(SEEN).length, 0);
  }
  for (const broken of [{}, [["person", "x"], ["person", "y"]], [["person", form.person], ["return_to", "/a"], ["return_to", "/b"]]]) {
    assert.equal((await pos.submit("/.hallpass/switch", cookies, broken)).status, 400);
  }
  const invented = await pos.submit("/.hallpass/switch", cookies, { person: "u_ben", return_to: "/" });
  assertPage(invented, 200, "Continue as ben");
  assert.equal(invented.setCookies(SEEN).length, 0);
  assert.equal((await pos.submit("/.hallpass/switch", cookies, { ...form, return_to: "//evil.example" })).location, "/");
  assert.equal((await pos.visit("/.hallpass/switch", cookies)).status, 405);
  assert.equal((await pos.visit("/.hallpass/switch", cookies)).header("allow"), "POST");
  assert.equal((await pos.visit("/.hallpass/other", cookies)).status, 404);

  const clicked = await pos.submit("/.hallpass/switch", cookies, form);
  assert.equal(clicked.location, "/orders/5?open=1&x=2");
  const accepted = await pos.visit("/", [...ben.cookies, [SEEN, clicked.cookie(SEEN)]]);
  assert.deepEqual([accepted.status, accepted.json.caller.username], [200, "ben"]);
});

test("the click counts for the person named only", async () => {
  const ana = await introduced("ana");
  const ben = await introduced("ben");
  const page = await pos.visit("/", [...ben.person.cookies, [SEEN, ana.seen]]);
  const form = { person: page.field("person"), return_to: "/" };
  const exchanged = await pos.submit("/.hallpass/switch", [...ana.person.cookies, [SEEN, ben.seen]], form);
  assertPage(exchanged, 200, "Continue as ana");
  assert.equal(exchanged.setCookies(SEEN).length, 0);
});

test("the same person in a new session is not asked; a memory that cannot be read is replaced", async () => {
  const ana = await introduced("ana");
  const again = await signedIn("ana");
  const answer = await pos.visit("/", [...again.cookies, [SEEN, ana.seen]]);
  assert.equal(answer.json.caller.username, "ana");
  assert.notEqual(answer.cookie(SEEN), ana.seen);
  for (const spoiled of [[[SEEN, "forged"]], [[SEEN, ana.seen], [SEEN, ana.seen]], [[SEEN, `${ana.seen}x`]]]) {
    const replaced = await pos.visit("/", [...ana.person.cookies, ...spoiled]);
    assert.equal(replaced.status, 200);
    const lines = replaced.setCookies(SEEN);
    assert.ok(lines.some((line) => line.includes("Domain=company.localhost; Max-Age=0")), String(lines));
    assert.ok(!lines.at(-1).includes("Max-Age=0"), "the new one comes last");
  }
});

/** Signs in at the vault and answers its question. */
async function confirmed(username) {
  const person = await signedIn(username, vault);
  const page = await vault.visit("/", person.cookies);
  const form = { person: page.field("person"), return_to: page.field("return_to") };
  const clicked = await vault.submit("/.hallpass/switch", person.cookies, form);
  return { person, page, clicked, cookies: [...person.cookies, [SEEN, clicked.cookie(SEEN)]] };
}

test("an app that asks on first contact names the person first", async () => {
  const { person, page, clicked, cookies } = await confirmed("ana");
  assertPage(page, 200, "Continue as ana");
  assert.equal(page.setCookies(SEEN).length, 0);
  assertRefusal(await vault.fetch("/", person.cookies), 409, "confirmation_required");
  assert.equal(clicked.location, "/");
  assert.equal((await vault.visit("/", cookies)).json.caller.username, "ana");
});

// ---- forged requests --------------------------------------------------------------------------------------------------

test("what another origin sends is refused before anything is done", async () => {
  const { cookies } = await introduced("ana");
  const before = await pos.acted();
  for (const site of ["same-site", "cross-site", "none", "Same-Origin"]) {
    for (const path of ["/orders", "/public/page", "/.hallpass/sign-out"]) {
      assertPage(await pos.submit(path, cookies, { a: "1" }, { site }), 403, "This did not come from here");
    }
  }
  const post = (more, method = "POST") => pos.send({ method, path: "/orders", headers: [...more, ["Cookie", cookies.map((pair) => pair.join("=")).join("; ")]], body: "x" });
  for (const more of [
    [], [["Origin", "null"]], [["Origin", "http://evil.company.localhost"]], [["Origin", pos.origin.replace(/:\d+$/, "")]],
    [["Origin", pos.origin], ["Sec-Fetch-Site", "same-site"]], [["Sec-Fetch-Site", "same-origin"], ["Sec-Fetch-Site", "cross-site"]],
  ]) {
    for (const method of ["POST", "PUT", "DELETE"]) assertRefusal(await post(more, method), 403, "cross_origin");
  }
  const socket = (site) => pos.send({ path: "/", headers: [["Upgrade", "websocket"], ["Sec-Fetch-Site", site], ["Cookie", cookies.map((pair) => pair.join("=")).join("; ")]] });
  assertRefusal(await socket("same-site"), 403, "cross_origin");
  assert.equal((await socket("same-origin")).status, 200, "a handshake with the app's own page");
  assert.equal(await pos.acted(), before);
  assert.equal((await pos.fetch("/", cookies)).status, 200, "and nobody was signed out");
  assert.equal((await post([["Origin", pos.origin]])).status, 200);
  assert.equal((await pos.submit("/orders", cookies, { a: "1" })).json.body, "a=1", "the body arrives whole");
  assert.equal((await pos.submit("/orders", cookies, {})).json.body, "", "also an empty one");
  assert.equal(await pos.acted(), before + 3);
});

test("where a CSRF token is demanded, only the right one will do", async () => {
  const { cookies } = await confirmed("ana");
  const { csrf_token: token } = (await vault.visit("/", cookies)).json.caller;
  assert.ok(token);
  secrets.add(token);
  const stranger = await confirmed("ben");
  const { csrf_token: strangers } = (await vault.visit("/", stranger.cookies)).json.caller;
  secrets.add(strangers);
  const before = await vault.acted();
  for (const fields of [{ a: "1" }, { csrf_token: "wrong" }, { csrf_token: "" }, { csrf_token: strangers }, [["csrf_token", token], ["csrf_token", token]]]) {
    assertPage(await vault.submit("/orders", cookies, fields), 403, "This form is too old");
  }
  assertPage(await vault.submit("/orders", cookies, { csrf_token: token }, { more: [["X-CSRF-Token", "wrong"]] }), 403, "This form is too old");
  assert.equal(await vault.acted(), before);
  const done = await vault.submit("/orders", cookies, { a: "1", csrf_token: token });
  assert.deepEqual([done.status, done.json.body], [200, new URLSearchParams({ a: "1", csrf_token: token }).toString()], "the form arrives whole");
  assert.equal((await vault.submit("/orders", cookies, { a: "1" }, { more: [["X-CSRF-Token", token]] })).status, 200);
  assert.equal(await vault.acted(), before + 2);
});

test("a wrong CSRF token is refused also where none is demanded", async () => {
  const { cookies } = await introduced("ana");
  const before = await pos.acted();
  assert.equal((await pos.submit("/orders", cookies, { csrf_token: "wrong" })).status, 403);
  assert.equal(await pos.acted(), before);
});

// ---- signing out ------------------------------------------------------------------------------------------------------

test("signing out ends the session at the engine, for every app", async () => {
  const { cookies, person } = await introduced("ana");
  const other = await ledger.visit("/", person.cookies);
  assert.equal(other.status, 200, "signed in once");
  const { session_id: session } = other.json.caller;
  assert.ok(engine.sessionsOf("ana").includes(session));
  assert.equal((await pos.visit("/.hallpass/sign-out", cookies)).status, 405);
  const answer = await pos.submit("/.hallpass/sign-out", cookies);
  assert.ok(answer.location.startsWith(`${engine.url}/`), `to the receipt: ${answer.location}`);
  assert.ok(answer.setCookies(PASS).includes(`${PASS}=; Path=/; Domain=company.localhost; Max-Age=0; Secure; HttpOnly; SameSite=Lax`), answer.toString());
  assert.ok(answer.setCookies(SEEN).includes(`${SEEN}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax`), answer.toString());
  assert.ok(!engine.sessionsOf("ana").includes(session), "ended at the engine");
  assert.equal((await pos.fetch("/", cookies)).status, 401, "forgotten here");
  await eventually("the other app refuses", 2000, async () => {
    const { status } = await ledger.fetch("/", person.cookies);
    return status === 401 || status;
  });
  const nobody = await pos.submit("/.hallpass/sign-out", cookies);
  assert.equal(nobody.location, `${engine.url}/sign-out?app=pos&return_to=${encoded(`${pos.origin}/`)}`, "the engine asks");
});

test("a script that signs out is told where the receipt is", async () => {
  const { cookies } = await introduced("ana");
  const headers = [["Sec-Fetch-Mode", "cors"], ["Sec-Fetch-Site", "same-origin"], ["Cookie", cookies.map((pair) => pair.join("=")).join("; ")]];
  const answer = await pos.send({ method: "POST", path: "/.hallpass/sign-out", headers });
  assert.deepEqual([answer.status, answer.json.signed_out], [200, true], answer.toString());
  assert.ok(answer.json.continue_at.startsWith(`${engine.url}/`), answer.toString());
});

// ---- the secret, and the engine, change -------------------------------------------------------------------------------

test("after the secret is replaced, people are still known", async () => {
  const ana = await introduced("ana", ledger);
  const ben = await signedIn("ben", ledger);
  await ledger.stop();
  engine.rotateSecret("ledger");
  await ledger.start(engine);
  assertPage(await ledger.visit("/", [...ben.cookies, [SEEN, ana.seen]]), 200, "as <strong>ana</strong>");
  const renewed = (await ledger.visit("/", ana.cookies)).cookie(SEEN);
  assert.notEqual(renewed, ana.seen, "sealed again before the old secret is gone");
  assert.equal((await ledger.visit("/", [...ana.person.cookies, [SEEN, renewed]])).setCookies(SEEN).length, 0);
});

test("with the engine away the answer is 503, except within a declared grace; when it is back, all is well", async () => {
  const posted = await introduced("ana");
  const unknown = await signedIn("ben");
  const keeper = await confirmed("ana");
  const clerk = await introduced("ana", ledger);
  const before = [await pos.acted(), await ledger.acted(), await vault.acted()];
  await engine.kill();

  assert.equal((await ledger.visit("/", clerk.cookies)).json.caller.username, "ana", "within the grace");
  assert.equal((await ledger.submit("/orders", clerk.cookies, { a: "1" })).status, 503, "nothing is changed on old knowledge");
  assert.equal((await ledger.visit("/", unknown.cookies)).status, 503, "the grace is for those who are known");
  assert.equal((await ledger.visit("/", [...clerk.cookies, ...unknown.cookies])).status, 503);
  for (const [app, cookies] of [[pos, unknown.cookies], [vault, keeper.cookies]]) {
    for (const path of ["/", "/public/page"]) {
      const page = await app.visit(path, cookies);
      assertPage(page, 503, "You are still signed in");
      assert.match(page.header("retry-after"), /^\d+$/);
    }
    assertRefusal(await app.fetch("/", cookies), 503, "temporarily_unavailable");
    assert.equal((await app.submit("/orders", cookies, { a: "1" })).status, 503);
  }
  assert.deepEqual([await pos.acted(), await ledger.acted(), await vault.acted()], before);
  assert.equal((await pos.visit("/public/page")).json.caller, null, "nobody needs the engine for this");
  assert.equal((await pos.visit("/orders/5")).location, signInUrl(pos, "/orders/5"));
  const out = await vault.submit("/.hallpass/sign-out", keeper.cookies);
  assertPage(out, 503, "other applications may still be open");
  assert.ok(out.setCookies(PASS).length > 0 && out.setCookies(SEEN).length > 0, "signed out here");
  await eventually("the grace ends", GRACE + 1000, async () => {
    const { status } = await ledger.visit("/", clerk.cookies);
    return status === 503 || status;
  });

  await engine.run();
  const seen = await pos.visit("/", unknown.cookies);
  assert.deepEqual([seen.status, seen.json.caller.username], [200, "ben"], "recovery needs nobody");
  assert.equal((await ledger.visit("/", clerk.cookies)).status, 200);
  assert.equal((await vault.visit("/", keeper.cookies)).status, 200);
  assert.equal((await pos.submit("/orders", posted.cookies, { a: "1" })).status, 200);
  await engine.heardBy(3, 20_000);
  assert.equal((await pos.visit("/", unknown.cookies)).status, 200);
  engine.cli(["session", "end-all", "ben"]);
  await eventually("an ended session is noticed as before", 2000, async () => {
    const { status } = await pos.fetch("/", unknown.cookies);
    return status === 401 || status;
  });
});

test("nothing secret was printed by the apps", () => {
  const output = [pos, vault, ledger].map((app) => app.output).join("");
  assert.ok(output.includes("listening"), "output is collected");
  assert.ok(secrets.size > 30, "there were secrets to print");
  for (const secret of secrets) {
    assert.ok(secret.length >= 8 && !output.includes(secret), `${secret.slice(0, 12)}… in the output`);
    // Nor the part of a token that is its own proof.
    const proof = secret.split(".").at(-1);
    assert.ok(proof.length < 8 || !output.includes(proof), `the end of ${secret.slice(0, 12)}… in the output`);
  }
});
