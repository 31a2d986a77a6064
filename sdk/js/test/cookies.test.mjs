// Reading, expiring and relaying cookies (protocol §2): what a hostile sibling can send, and what comes of it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { expiry, isRelayable, pathPrefixes, presented } from "../dist/cookies.js";

const NAME = "__Secure-hallpass-pass";
const read = (...lines) => presented(lines.map((line) => ["cookie", line]), NAME);

test("all cookie headers are read and names are compared byte for byte", () => {
  assert.deepEqual(read(`a=b; ${NAME}=one.x.y`, `${NAME}=two; __SECURE-hallpass-pass=evil`), {
    count: 2,
    passes: ["one.x.y", "two"],
    variants: 1,
  });
  assert.deepEqual(read("__secure-hallpass-pass=evil; x__Secure-hallpass-pass=evil"), { count: 0, passes: [], variants: 1 });
  assert.deepEqual(read(`\t${NAME} =\ta.b ;;=;a`), { count: 1, passes: ["a.b"], variants: 0 });
});

test("what cannot be a pass is counted and never asked about", () => {
  for (const value of ["", '"a.b.c"', "a b", "a,b", "a%20b", "\xff\xfe", "a".repeat(5000), "\u00a0a", "a="]) {
    assert.deepEqual(read(`${NAME}=${value}`), { count: 1, passes: [], variants: 0 }, JSON.stringify(value.slice(0, 10)));
  }
  assert.deepEqual(read(`${NAME}=${"a".repeat(4096)}`).passes.length, 1);
  assert.deepEqual(read(`${NAME}=a; ${NAME}=a`), { count: 2, passes: ["a"], variants: 0 });
});

test("no cookie header throws, and what comes out holds only the pass's alphabet", () => {
  const pieces = [NAME, "__SECURE-hallpass-pass", "=", ";", " ", ",", '"', "a.b", "\xe9", "\t", "\x00"];
  let seed = 1;
  const next = (limit) => (seed = (seed * 48_271) % 2_147_483_647) % limit;
  for (let round = 0; round < 5000; round += 1) {
    const line = Array.from({ length: next(14) }, () => pieces[next(pieces.length)]).join("");
    const { count, passes } = read(line);
    const exact = line.split(";").filter((pair) => /^[ \t]*__Secure-hallpass-pass[ \t]*=/.test(pair)).length;
    assert.equal(count, exact, JSON.stringify(line));
    assert.ok(passes.length <= count && passes.every((pass) => /^[A-Za-z0-9._-]+$/.test(pass)), JSON.stringify(line));
  }
});

test("a shadowing cookie is expired wherever it can be", () => {
  const lines = expiry(NAME, "/orders/5", ["pos.company.com", "company.com"]);
  assert.equal(lines.length, 12);
  for (const path of ["/", "/orders", "/orders/", "/orders/5"]) {
    assert.ok(lines.includes(`${NAME}=; Path=${path}; Max-Age=0; Secure; HttpOnly; SameSite=Lax`), path);
    assert.ok(lines.includes(`${NAME}=; Path=${path}; Domain=company.com; Max-Age=0; Secure; HttpOnly; SameSite=Lax`), path);
  }
  assert.equal(expiry(NAME, "/a".repeat(500), ["pos.company.com"]).length, 32);
});

test("a path cannot add attributes to the expiry", () => {
  assert.deepEqual(pathPrefixes("/a/b;Domain=evil.com/c"), ["/", "/a", "/a/"]);
  assert.deepEqual(pathPrefixes("/a/b\r\nX: y"), ["/", "/a", "/a/"]);
  assert.deepEqual(pathPrefixes("/"), ["/"]);
  assert.deepEqual(pathPrefixes("/a/"), ["/", "/a", "/a/"]);
  assert.deepEqual(pathPrefixes("*"), ["/"]);
});

test("only a line that sets the pass is relayed", () => {
  assert.ok(isRelayable(`${NAME}=a.b.c; Domain=company.com; Path=/; Secure; HttpOnly; SameSite=Lax`, NAME));
  for (const bad of [
    "session=evil; Path=/",
    `${NAME}-2=x`,
    `${NAME}=`,
    `${NAME}=; Max-Age=0`,
    `${NAME}=x\r\nLocation: https://evil.com`,
    `${NAME}=x\ny`,
    `${NAME}=x\n`,
    `${NAME}=\u00e9`,
    "__secure-hallpass-pass=x",
    ` ${NAME}=x`,
    "",
  ]) {
    assert.equal(isRelayable(bad, NAME), false, JSON.stringify(bad));
  }
});
