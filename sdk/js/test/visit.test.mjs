// What a request is and where people come back to (protocol §6, §7, §12), and the token that a form presents.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { presentedToken } from "../dist/csrf.js";
import { cookieDomains, isSameOrigin, mayChangeSomething, parseOrigin } from "../dist/origin.js";
import { formFields, isForgedIdentity, pathAndQuery } from "../dist/request.js";
import { isPlainPath, localDestination, readVisit } from "../dist/visit.js";

const own = parseOrigin("https://pos.company.com");
const visit = (method, target, headers = {}) => readVisit({ method, target, headers: Object.entries(headers) }, own);

test("a navigation is known by Fetch Metadata and by Accept where that is absent", () => {
  for (const headers of [{ "sec-fetch-mode": "navigate" }, { accept: "text/html,*/*" }]) assert.ok(visit("GET", "/", headers).navigation);
  for (const [method, headers] of [
    ["GET", { "sec-fetch-mode": "cors", accept: "text/html" }], ["GET", { accept: "*/*" }], ["GET", {}],
    ["POST", { "sec-fetch-mode": "navigate" }], ["HEAD", { accept: "text/html" }],
  ]) {
    assert.equal(visit(method, "/", headers).navigation, false, JSON.stringify(headers));
  }
});

test("people come back to the page they were on", () => {
  const page = { accept: "text/html" };
  assert.equal(visit("GET", "/orders?open=1", page).destination, "/orders?open=1");
  assert.equal(visit("GET", "http://evil.com/orders?open=1#x", page).destination, "/orders?open=1");
  assert.equal(visit("GET", `/orders?${"x".repeat(3000)}`, page).destination, "/orders");
  assert.equal(visit("GET", "/.hallpass/switch", page).destination, "/");
  const script = (referer) => visit("GET", "/api/orders", { referer, "sec-fetch-mode": "cors" }).destination;
  assert.equal(script("https://pos.company.com/orders?open=1#x"), "/orders?open=1");
  assert.equal(script("https://evil.company.com/x"), "/");
  assert.equal(script("https://pos.company.com@evil.com/x"), "/");
});

test("a destination never leaves the origin", () => {
  const bad = ["//evil.com", "/\\evil.com", "https://evil.com", "", "evil", "/a\\b", "/\t/evil.com", "/%0d%0aX", "/%7f", "/./\u00e9", "/..//evil.com", "/x\n"];
  for (const text of bad) assert.equal(localDestination(text), "/", JSON.stringify(text));
  assert.equal(localDestination("/a/b?x=%20y"), "/a/b?x=%20y");
});

test("known redirect tricks never leave the origin", (t) => {
  const list = new URL("../../../../shared/data/open-redirects.txt", import.meta.url);
  let tricks;
  try {
    tricks = readFileSync(list, "utf8").split("\n");
  } catch {
    return t.skip("open-redirects.txt is not present");
  }
  assert.ok(tricks.length > 20);
  for (const trick of tricks) assert.equal(new URL(localDestination(trick), own.text).origin, own.text, trick);
});

test("an ambiguous path is never plain", () => {
  assert.ok(isPlainPath("/public/logo.svg"));
  for (const path of ["/public/../admin", "/public/%2e%2e/admin", "/public%2Fadmin", "//public", "/public/./x", "/public;/../admin", "/public%5c..", "*"]) {
    assert.equal(isPlainPath(path), false, path);
  }
});

test("targets, identity headers and forms are read in every spelling", () => {
  assert.deepEqual(["/a?b#c", "http://h/a?b", "http://h", "http://h?x", "*"].map(pathAndQuery), ["/a?b", "/a?b", "/", "/?x", "*"]);
  const names = ["x-hallpass-user", "X-Hallpass-User", "x_hallpass_user", "x-hallpass", "x-hallpasses", "x-csrf-token"];
  assert.deepEqual(names.filter((name) => !isForgedIdentity(name)), ["x-hallpasses", "x-csrf-token"]);
  assert.deepEqual(formFields("?a=1&b=%20+x"), [["?a", "1"], ["b", "  x"]]);
});

test("only a secure origin is an origin", () => {
  const local = parseOrigin("http://pos.company.localhost:7070/");
  assert.deepEqual([local.text, local.host, local.authority, local.port], ["http://pos.company.localhost:7070", "pos.company.localhost", "pos.company.localhost:7070", 7070]);
  for (const bad of [
    "http://pos.company.com", "http://localhost.evil.com", "http://10.0.0.1", "https://pos.company.com/app", "https://pos.company.com//",
    "https://pos.company.com:443", "https://user@pos.company.com", "https://POS.company.com", "ftp://pos.company.com", "null", "", undefined,
  ]) {
    assert.equal(parseOrigin(String(bad)), undefined, String(bad));
  }
  assert.deepEqual(cookieDomains(parseOrigin("https://pos.apps.company.com")), ["pos.apps.company.com", "apps.company.com", "company.com"]);
  for (const bare of ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"]) assert.deepEqual(cookieDomains(parseOrigin(bare)), [], bare);
});

test("the origin rule lets only the own origin in", () => {
  const allowed = (...headers) => isSameOrigin(headers, own);
  assert.ok(allowed(["sec-fetch-site", "same-origin"]));
  assert.ok(allowed(["origin", "https://pos.company.com"]));
  for (const headers of [
    [], [["sec-fetch-site", "same-site"], ["origin", "https://pos.company.com"]], [["sec-fetch-site", "none"]], [["sec-fetch-site", "Same-Origin"]],
    [["sec-fetch-site", "same-origin"], ["sec-fetch-site", "cross-site"]], [["sec-fetch-site", "same-origin, cross-site"]],
    [["origin", "https://evil.company.com"]], [["origin", "https://pos.company.com.evil.com"]], [["origin", "http://pos.company.com"]],
    [["origin", "null"]], [["origin", "https://pos.company.com"], ["origin", "https://evil.com"]],
  ]) {
    assert.equal(allowed(...headers), false, JSON.stringify(headers));
  }
  for (const method of ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get"]) assert.ok(mayChangeSomething(method, []), method);
  assert.ok(mayChangeSomething("GET", [["upgrade", "websocket"]]));
  assert.equal(mayChangeSomething("GET", []), false);
});

test("a token is one, in the header first, else in a small form", async () => {
  const form = (body, headers = {}) => presentedToken({
    headers: Object.entries({ "content-type": "application/x-www-form-urlencoded; charset=utf-8", "content-length": String(body.length), ...headers }),
    readForm: async () => formFields(body),
  });
  assert.deepEqual(await form("a=1&csrf_token=t-1&b=2"), { kind: "token", token: "t-1" });
  assert.deepEqual(await form("a=1"), { kind: "absent" });
  for (const body of ["csrf_token=a&csrf_token=b", "csrf_token=", "csrf_token=%00", `csrf_token=${"x".repeat(513)}`]) {
    assert.deepEqual(await form(body), { kind: "malformed" }, body.slice(0, 30));
  }
  assert.deepEqual(await form("csrf_token=form", { "x-csrf-token": "header" }), { kind: "token", token: "header" });
  for (const other of [{ "content-type": "text/plain" }, { "content-length": "65537" }, { "content-length": "x" }, { "content-encoding": "gzip" }]) {
    assert.deepEqual(await form("csrf_token=t", other), { kind: "absent" }, JSON.stringify(other));
  }
});
