// The point of sale before a scripted engine: a handoff, a sale, what one may not do, and signing out.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { request as httpRequest } from "node:http";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { BORN, Browser, engine, leadsTo, ORIGIN, PASS } from "../../../sdk/js/test/scripted.mjs";
import { pointOfSale } from "../src/app.mjs";
import { parseAmount } from "../src/ledger.mjs";
import { settingsFrom } from "../src/settings.mjs";

let fake;
let hallpass;
let server;

before(async () => {
  fake = await engine();
  fake.signIn("p", "s_1", "ana");
  fake.signIn("q", "s_2", `<script>"'&`, { permissions: ["canRefund"], roles: ["<b>"] });
  const made = pointOfSale({ engine: fake.url, connectTo: fake.connectTo, appKey: "pos", secretKey: "hp_sk_one", origin: ORIGIN, log: () => {}, clock: { monotonic: () => 0, unixSeconds: () => BORN } });
  hallpass = made.hallpass;
  server = made.app.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
});

after(() => {
  hallpass.close();
  server.close();
});

const send = (path, headers, { method = "GET", body } = {}) =>
  new Promise((resolve, reject) => {
    const call = httpRequest({ host: "127.0.0.1", port: server.address().port, method, path, headers, agent: false }, async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      const lines = response.rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [[name, response.rawHeaders[at + 1]]] : []));
      resolve(new Response([204, 304].includes(response.statusCode) ? null : text, { status: response.statusCode, headers: lines }));
    });
    call.on("error", reject).end(body);
  });

async function knownAs(pass) {
  const browser = new Browser({ send });
  const back = await browser.visit(fake.handsOver(leadsTo(await browser.visit("/?table=7")), pass));
  assert.equal(leadsTo(back), "/?table=7");
  return browser;
}

test("somebody who is signed in at home sells without a form in between", async () => {
  const ana = await knownAs("p");
  const page = await (await ana.visit("/")).text();
  assert.ok(page.includes('data-testid="username">ana<') && page.includes("that takes the permission canRefund.") && !page.includes("that takes the permission canCreateOrder."));
  const sold = await ana.submit("/sales", "item=espresso");
  const { status, headers } = sold;
  assert.deepEqual([status, headers.get("location")], [303, "/?done=1"]);
  assert.ok((await (await ana.visit("/?done=1")).text()).includes('data-testid="done">Sold Espresso for 2.20<'));
  assert.equal((await ana.submit("/sales", "item=yacht")).status, 400);
  assert.equal((await ana.submit("/refunds", "amount=5&to=Ana")).status, 403);
  assert.equal((await ana.submit("/sales", "item=espresso", { "sec-fetch-site": "cross-site" })).status, 403);
});

test("a name cannot leave its place in the page, and a refund is checked", async () => {
  const odd = await knownAs("q");
  assert.equal((await odd.submit("/sales", "item=espresso")).status, 403);
  const refunded = await odd.submit("/refunds", `amount=12%2C5&to=${encodeURIComponent("<i>")}`);
  const answer = await odd.visit(refunded.headers.get("location"));
  const page = await answer.text();
  assert.ok(page.includes("Refunded 12.50 to &lt;i&gt;") && page.includes("&lt;script&gt;&quot;&#39;&amp;"));
  assert.ok(!/<script|<i>|<b>|style=|onclick/.test(page));
  assert.ok(answer.headers.get("content-security-policy").endsWith(`form-action 'self' ${fake.url}`));
  for (const body of ["amount=0&to=a", "amount=5", "amount=5&to=", `amount=5&to=${"x".repeat(41)}`, "amount=5&amount=6&to=a", ""]) assert.equal((await odd.submit("/refunds", body)).status, 400, body);
});

test("signing out leads to the receipt, and nobody is anybody any more", async () => {
  const ana = await knownAs("p");
  assert.equal(leadsTo(await ana.submit("/.sso/sign-out", "")), `${fake.url}/receipt?id=1`);
  assert.ok(!ana.jar.has(PASS));
  assert.equal((await ana.fetch("/")).status, 401);
});

test("what needs nobody is there for everybody; the rest is an address or none", async () => {
  const visitor = new Browser({ send });
  for (const [path, type] of [["/demo.css", "text/css; charset=utf-8"], ["/icon.svg", "image/svg+xml"], ["/favicon.ico", "image/svg+xml"]]) {
    const answer = await visitor.fetch(path);
    assert.deepEqual([answer.status, answer.headers.get("content-type")], [200, type], path);
  }
  assert.deepEqual(await (await visitor.fetch("/.well-known/sso-agent")).json(), { issuer: fake.url, app: "pos" });
  const ana = await knownAs("p");
  assert.equal((await ana.visit("/nothing")).status, 404);
  const broken = await ana.submit("/sales", "item=%", { "content-type": "application/x-www-form-urlencoded; charset=nonsense" });
  assert.deepEqual([broken.status, await broken.text()], [415, "That cannot be read."]);
});

test("amounts are read as people write them", () => {
  for (const [text, amount] of [["12.50", 1250], ["12,5", 1250], [" 12 ", 1200], ["0.01", 1], ["1000", 100_000], ["7.", 700]]) assert.equal(parseAmount(text), amount, text);
  for (const text of ["", ".", "0", "0.00", "-1", "+1", "1.005", "1000.01", "99999999999", "1e3", "1 000", "１２", "twelve", "1.2.3", undefined, ["1"]]) assert.equal(parseAmount(text), undefined, String(text));
});

test("what is missing or wrong in the environment is named, and no secret with it", () => {
  const good = { ENGINE: "http://auth.company.localhost:7070", APP_KEY: "express", SECRET_KEY: "hp_sk_x", ORIGIN: "http://pos.company2.localhost:7080", PORT: "7080" };
  assert.throws(() => settingsFrom({}), /ENGINE[^]*APP_KEY[^]*SECRET_KEY[^]*ORIGIN[^]*PORT[^]*hallpass demo --express/);
  assert.throws(() => settingsFrom({ ...good, PORT: "x" }), /PORT must be a number/);
  assert.deepEqual([settingsFrom(good).connectTo, settingsFrom(good).port], ["127.0.0.1:7070", 7080], "names under localhost need not resolve");
  for (const [more, connectTo] of [[{ CONNECT_TO: "10.0.0.5:1" }, "10.0.0.5:1"], [{ ENGINE: "https://auth.company.com", CONNECT_TO: "" }, undefined], [{ ENGINE: "http://auth.localhost" }, "127.0.0.1:80"], [{ ENGINE: "x" }, undefined]]) {
    assert.equal(settingsFrom({ ...good, ...more }).connectTo, connectTo);
  }
  const main = fileURLToPath(new URL("../src/main.mjs", import.meta.url));
  for (const [environment, named] of [[{}, "These environment variables are missing"], [{ ...good, ORIGIN: "http://pos.company2.com" }, "application's origin"], [{ ...good, CONNECT_TO: "here" }, "connectTo must read"]]) {
    const { status, stderr } = spawnSync(process.execPath, [main], { env: environment, encoding: "utf8", timeout: 10_000 });
    assert.deepEqual([status, stderr.includes(named), stderr.includes("hp_sk_x"), stderr.includes("    at ")], [1, true, false, false], stderr);
  }
});
