// The loop guard's counter (protocol §6): three redirects for one destination, and losing it is harmless.

import assert from "node:assert/strict";
import { test } from "node:test";

import { BOUNCE_COOKIE, nextBounce, readBounces } from "../dist/bounce.js";

const bring = (line) => [["cookie", line.split(";")[0]]];

test("three redirects for one destination are enough", () => {
  let headers = [];
  for (let round = 0; round < 3; round += 1) {
    const line = nextBounce(readBounces(headers, 100), "/orders", 100);
    assert.match(line, /^__Host-Http-hallpass-bounce=100\.\d\.\d\.[0-9a-f]{8}; Path=\/; Max-Age=30; Secure; HttpOnly; SameSite=Lax$/);
    headers = bring(line);
  }
  assert.equal(nextBounce(readBounces(headers, 129), "/orders", 129), undefined);
  assert.ok(nextBounce(readBounces(headers, 129), "/other", 129), "another destination");
  assert.ok(nextBounce(readBounces(headers, 130), "/orders", 130), "the window is over");
  assert.ok(nextBounce(readBounces(headers, 99), "/orders", 99), "a clock stepped back is no loop");
});

test("many tabs are no loop but a loop over many addresses is", () => {
  let headers = [];
  let sent = 0;
  for (let line; (line = nextBounce(readBounces(headers, 100), `/tab/${sent}`, 100)) !== undefined; sent += 1) headers = bring(line);
  assert.equal(sent, 24);
});

test("a malformed or doubled counter is none", () => {
  for (const text of ["", "1", "100.1.1.zz", "100.1.1.00000000.x", "x.1.1.00000000", "-1.1.1.00000000", "100.99999999999.1.00000000", "100.1.1.00000000\n"]) {
    assert.equal(readBounces([["cookie", `${BOUNCE_COOKIE}=${text}`]], 100).inAll, 0, text);
  }
  const good = `${BOUNCE_COOKIE}=100.1.1.00000000`;
  assert.equal(readBounces([["cookie", good]], 100).inAll, 1);
  assert.equal(readBounces([["cookie", `${good}; ${good}`]], 100).inAll, 0);
});
