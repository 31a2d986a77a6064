// Bound apps (protocol §2, §8): the pass is for one host, so that no sibling receives, tosses or overwrites it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Hallpass } from "../dist/index.js";
import { app, BOUND_PASS, cookieLines, engine, leadsTo, PASS } from "./scripted.mjs";

async function world() {
  const fake = await engine();
  fake.signIn("p", "s_1", "ana");
  const pos = app(fake, { agent: undefined, bound: true });
  return { fake, pos, browser: pos.browser() };
}

test("only the host's own pass counts", async () => {
  const { fake, browser } = await world();
  browser.jar.set(PASS, "p");
  const location = leadsTo(await browser.visit("/orders"));
  const answer = await browser.visit(fake.handsOver(location, "p", { setCookie: fake.line("p", BOUND_PASS) }));
  assert.deepEqual(cookieLines(answer, BOUND_PASS), [fake.line("p", BOUND_PASS)]);
  browser.jar.delete(PASS);
  assert.ok((await (await browser.visit("/orders")).text()).startsWith("ana "));
});

test("a pass for the whole domain is not relayed, in no spelling", async () => {
  for (const domain of ["Domain=company2.localhost", "domain=x", "DOMAIN", " Domain = x"]) {
    const { fake, browser } = await world();
    const setCookie = `${BOUND_PASS}=p; Path=/;${domain}; Secure; HttpOnly`;
    const answer = await browser.visit(fake.handsOver(leadsTo(await browser.visit("/orders")), "p", { setCookie }));
    assert.deepEqual([answer.status, cookieLines(answer, BOUND_PASS)], [503, []], domain);
    browser.jar.set(BOUND_PASS, "p");
    fake.signIn("p", "s_1", "ana", { set_cookie: setCookie });
    const renewed = await browser.visit("/orders");
    assert.deepEqual([renewed.status, cookieLines(renewed, BOUND_PASS)], [200, []], domain);
  }
});

test("it is removed from this host alone", async () => {
  const { fake, pos } = await world();
  fake.signIn("q", "s_2", "ben");
  const answer = await pos.send("/orders/5", { cookie: `${BOUND_PASS}=p; ${BOUND_PASS}=q`, "sec-fetch-mode": "navigate" });
  assert.deepEqual(cookieLines(answer, BOUND_PASS), [`${BOUND_PASS}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax`]);
});

test("contradictions are named at start", () => {
  const good = { engine: "https://auth.company.com", appKey: "pos", secretKey: "hp_sk_one", origin: "https://pos.company.com" };
  for (const [wrong, named] of [
    [{ bound: true, agent: false }, /bound needs the agent/], [{ bound: true, passCookie: PASS }, /bound app's pass cookie/], [{ discover: true }, /discover needs the agent/],
    [{ discover: true, agent: false }, /discover needs the agent/], [{ agent: "yes" }, /agent must be true or false/], [{ bound: 1 }, /bound must be true or false/], [{ discover: null, agent: true }, /discover must be/],
    [{ afterSignOut: "" }, /signing out/], [{ afterSignOut: null }, /signing out/],
  ]) {
    assert.throws(() => new Hallpass({ ...good, ...wrong }), named, JSON.stringify(wrong));
  }
  for (const right of [{ bound: true }, { bound: true, agent: true, passCookie: BOUND_PASS }, { agent: true, discover: false }, { discover: false }]) new Hallpass({ ...good, ...right }).close();
});
