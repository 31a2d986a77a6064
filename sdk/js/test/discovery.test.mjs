// Silent discovery (protocol §8): who is signed in at home is known on open pages, too; everybody else notices nothing, crawlers least of all.

import assert from "node:assert/strict";
import { test } from "node:test";

import { app, BOUNCE, cookieLines, engine, leadsTo, NOBODY, PASS, until } from "./scripted.mjs";

const PAGE = "/public/page?a=1";

async function world(options) {
  const fake = await engine();
  fake.signIn("p", "s_1", "ana");
  const pos = app(fake, options);
  return { fake, pos, browser: pos.browser() };
}

const isAnonymous = async (answer) => answer.status === 200 && (await answer.text()).startsWith("anonymous ");

test("who is signed in at home is known on an open page", async () => {
  const { fake, browser } = await world();
  browser.jar.set(NOBODY, "1");
  assert.ok(await isAnonymous(await browser.visit(PAGE)));
  browser.jar.delete(NOBODY);
  const back = fake.handsOver(leadsTo(await browser.visit(PAGE)), "p");
  assert.equal(leadsTo(await browser.visit(back)), PAGE);
  assert.ok((await (await browser.visit(PAGE)).text()).startsWith("ana "));
});

test("nobody is asked about once in ten minutes", async () => {
  const { fake, browser } = await world();
  const answer = await browser.visit(fake.refuses(leadsTo(await browser.visit(PAGE))));
  assert.equal(leadsTo(answer), PAGE);
  assert.deepEqual(cookieLines(answer, NOBODY), [`${NOBODY}=1; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax`]);
  assert.ok(await isAnonymous(await browser.visit(PAGE)));
  const back = fake.handsOver(leadsTo(await browser.visit("/.sso/start?r=/orders")), "p");
  const signedIn = await browser.visit(back);
  assert.equal(cookieLines(signedIn, NOBODY).length, 1, "signed in: it is somebody again");
  assert.ok(!browser.jar.has(NOBODY));
});

test("only a window that somebody opens is sent away, and only if it comes back to the same page", async () => {
  const { pos, browser } = await world();
  assert.ok(await isAnonymous(await browser.fetch(PAGE)));
  assert.ok(await isAnonymous(await pos.send(PAGE, { accept: "text/html", "user-agent": "Mozilla/5.0" })), "does not say what it is");
  for (const more of [{ "sec-fetch-dest": "iframe" }, { "sec-purpose": "prefetch" }]) assert.ok(await isAnonymous(await browser.visit(PAGE, more)), JSON.stringify(more));
  assert.equal((await browser.submit(PAGE)).status, 200);
  assert.ok(await isAnonymous(await browser.visit(`/public/${"x".repeat(2000)}?a=1`)));
  browser.jar.set(PASS, "never.accepted");
  assert.ok(await isAnonymous(await browser.visit(PAGE)), "has been here before");
});

test("crawlers and programs see the page", async () => {
  const { browser } = await world();
  for (const agent of ["Googlebot/2.1", "Baiduspider", "Mozilla/5.0 (compatible; YandexBot/3.0)", "Yahoo! Slurp", "SomeCrawler", "Slack-LinkPreview", "facebookexternalhit/1.1", "curl/8.5", "Wget/1.2", "HeadlessChrome/156", "python-requests/2"]) {
    assert.ok(await isAnonymous(await browser.visit(PAGE, { "user-agent": agent })), agent);
  }
  assert.equal((await browser.visit(PAGE)).status, 303, "a person is asked about");
});

test("whatever goes wrong with a look that nobody asked for, the page is shown", async () => {
  for (const answer of ["temporarily_unavailable", undefined]) {
    const { fake, browser } = await world();
    const location = leadsTo(await browser.visit(PAGE));
    const back = answer ? fake.refuses(location, answer) : fake.handsOver(location, "p", { redirectUri: "https://elsewhere.example/" });
    assert.equal(leadsTo(await browser.visit(back)), PAGE);
    assert.ok(await isAnonymous(await browser.visit(PAGE)));
  }
});

test("an open page needs no engine", async () => {
  const { pos, browser } = await world();
  await until("changes are heard", () => pos.hallpass.hearsChanges);
  pos.advance(12_000);
  assert.ok(await isAnonymous(await browser.visit(PAGE)), "silent for too long");
  const away = await engine();
  away.silent = true;
  const other = app(away);
  await until("it was listened to in vain", () => other.said.some((line) => line.includes("cannot answer now")));
  assert.ok(await isAnonymous(await other.browser().visit(PAGE)));
});

test("it can be switched off, and is off without an agent", async () => {
  for (const options of [{ discover: false }, { agent: false }]) {
    const { browser } = await world(options);
    assert.ok(await isAnonymous(await browser.visit(PAGE)), JSON.stringify(options));
  }
});

test("where it goes round in circles the page is simply shown", async () => {
  const { fake, browser } = await world();
  browser.deaf = [NOBODY];
  for (let round = 0; round < 3; round += 1) assert.equal(leadsTo(await browser.visit(fake.refuses(leadsTo(await browser.visit(PAGE))))), PAGE);
  assert.ok(browser.jar.has(BOUNCE), "it was counted");
  assert.ok(await isAnonymous(await browser.visit(PAGE)));
});
