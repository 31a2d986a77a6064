// The SDK's own pages (protocol §18): a name stays in its place, the policy fits the page, and the words are those of the Rust SDK.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import * as agentPages from "../dist/agent/pages.js";
import * as pages from "../dist/pages.js";
import { STYLE } from "../dist/style.js";

const header = (answer, name) => answer.headers.find(([found]) => found === name)?.[1];
const refusalsOf = (module) => Object.values(module).filter((each) => typeof each === "object");

test("a name cannot leave its place in the page", () => {
  const answer = pages.askForPerson({
    now: "<script>alert(1)</script>\u202e", before: "\"ana\" & 'co'", token: "t", destination: '/a?b="><img>',
    refreshUrl: "https://auth.company.com/pass/refresh?app=pos&return_to=x", engine: "https://auth.company.com",
  });
  assert.ok(answer.body.includes("Continue as &lt;script&gt;alert(1)&lt;/script&gt;</button>"));
  assert.ok(answer.body.includes("&quot;ana&quot; &amp; &#39;co&#39;"));
  assert.ok(answer.body.includes('value="/a?b=&quot;&gt;&lt;img&gt;"'));
  assert.ok(!/<script|<img|\u202e/.test(answer.body));
  assert.match(header(answer, "Content-Security-Policy"), /form-action 'self' https:\/\/auth\.company\.com; base-uri 'none'/);
});

test("the policy allows exactly the page's own style", () => {
  const answer = pages.refuse(pages.NOT_PERMITTED, true);
  const [, style] = /<style>([^]*)<\/style>/.exec(answer.body);
  assert.ok(header(answer, "Content-Security-Policy").includes(`'sha256-${createHash("sha256").update(style).digest("base64")}'`));
  assert.ok(!header(answer, "Content-Security-Policy").includes("unsafe"));
});

test("programs get problem details", () => {
  const answer = pages.unavailable(false, 7);
  assert.deepEqual([answer.status, header(answer, "Retry-After"), header(answer, "Content-Type")], [503, "7", "application/problem+json"]);
  const { type, status, error } = JSON.parse(answer.body);
  assert.deepEqual([type, status, error], ["about:blank", 503, "temporarily_unavailable"]);
});

const rust = new URL("../../../crates/client/src/", import.meta.url);

/** All of the Rust SDK's source; HALLPASS_RUST_SDK names another place of it. */
function rustSource() {
  const folder = process.env.HALLPASS_RUST_SDK ? new URL(`file://${process.env.HALLPASS_RUST_SDK}/`) : rust;
  if (!existsSync(folder)) return undefined;
  const sources = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".rs"));
  return sources.map((name) => readFileSync(new URL(name, folder), "utf8")).join("\n");
}

function assertSameWords(source, refusals, answers) {
  for (const { code, title, detail } of refusals) {
    for (const text of [code, title, detail]) assert.ok(source.includes(`"${text}"`), text);
  }
  const unfold = (text) => text.replaceAll(/\\\n\s*/g, "").replaceAll('\\"', '"').replaceAll(/\{[a-z]*\}/g, "");
  for (const answer of answers) {
    const [, main] = /<main><h1>([^]*)<\/main>/.exec(answer.body);
    for (const words of main.split(/<[^>]*>/).filter((text) => text.trim() !== "")) assert.ok(unfold(source).includes(words), words);
  }
}

test("words and style are those of the Rust SDK", (t) => {
  const source = rustSource();
  if (!source) return t.skip("the Rust SDK is not beside this one");
  assert.equal(STYLE, readFileSync(new URL("page.css", rust), "utf8"));
  const refusals = refusalsOf(pages);
  assert.ok(refusals.length >= 10);
  assertSameWords(source, refusals, [pages.stuck("missing", ""), pages.stuck("refused", ""), pages.stuck("conflict", ""), pages.signInFirst(""), pages.signedOutHereOnly("")]);
});

test("so are those of an agent", (t) => {
  const source = rustSource();
  if (!source?.includes("/.sso/callback")) return t.skip("no Rust SDK with an agent beside this one");
  assertSameWords(source, refusalsOf(agentPages), [agentPages.handoffRefused(true), agentPages.handoffUnavailable(true, "/"), pages.stuck("unrecognised", "")]);
});
