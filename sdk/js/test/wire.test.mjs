// Introspection answers (protocol §4): only a complete, well-typed answer for this app from its own engine becomes a caller.

import assert from "node:assert/strict";
import { test } from "node:test";

import { questionBody, readAnswers, Unusable } from "../dist/wire.js";

const parties = { issuer: "https://auth.company.com", appKey: "pos" };
const one = { passes: ["a"] };

const active = (changed = {}) => ({
  active: true, token_type: "pass", iss: "https://auth.company.com", client_id: "pos", sub: "u_1", sid: "s_1", username: "ana",
  auth_time: 1, acr: "aal1", amr: ["pwd"], iat: 1, exp: 901, roles: ["cashier"], permissions: ["canRefund", "canCreateOrder"],
  scope: "canCreateOrder canRefund", attributes: {}, version: "7", cache_for: 10, csrf_token: "t", set_cookie: null,
  request_token: null, ...changed,
});

const read = (body, question = one) => readAnswers(Buffer.from(typeof body === "string" ? body : JSON.stringify(body)), question, parties);
const unusable = (body, question, what) => assert.throws(() => read(body, question), Unusable, what);

test("a request names one token or several and nothing that is not there", () => {
  assert.equal(questionBody(one, "pos.company.com"), '{"token":"a","host":"pos.company.com"}');
  assert.equal(questionBody({ passes: ["a", "b"], ifVersion: "7" }, "pos.company.com"), '{"tokens":["a","b"],"host":"pos.company.com"}');
  assert.equal(
    questionBody({ passes: ["a"], csrf: { token: "t", method: "POST" }, ifVersion: "7" }, "pos.company.com"),
    '{"token":"a","host":"pos.company.com","csrf_token":"t","method":"POST","if_version":"7"}',
  );
});

test("a complete answer is read, and nobody can write to its facts", () => {
  const [answer] = read(active());
  assert.deepEqual(answer.facts.permissions, ["canCreateOrder", "canRefund"]);
  assert.equal(answer.facts.userId, "u_1");
  assert.deepEqual([answer.cacheForSeconds, answer.setCookie, answer.csrfFailed], [10, undefined, false]);
  assert.throws(() => answer.facts.permissions.push("canDoEverything"), TypeError);
  assert.equal(read(active({ csrf: "failed" }))[0].csrfFailed, true);
});

test("an answer that lacks something, has it in another type or is for somebody else is a fault", () => {
  for (const member of ["iss", "client_id", "token_type", "sub", "sid", "username", "auth_time", "acr", "iat", "exp", "permissions"]) {
    for (const value of [undefined, null, {}, [1], true]) unusable(active({ [member]: value }), one, `${member} ${value}`);
  }
  for (const [member, value] of [
    ["iss", "https://evil.com"], ["client_id", "cashier"], ["sub", ""], ["sid", ""], ["exp", "901"], ["exp", -1], ["exp", 1.5],
    ["exp", 1e300], ["permissions", "canRefund"], ["permissions", [7]], ["roles", "x"], ["amr", {}], ["name", 7], ["attributes", []],
    ["set_cookie", []], ["csrf", true], ["cache_for", "10"], ["version", 7], ["unchanged", "true"], ["active", "true"], ["active", 1],
    ["active", null],
  ]) {
    unusable(active({ [member]: value }), one, `${member} = ${JSON.stringify(value)}`);
  }
  for (const body of ["", "{", "null", "[]", "7", '"x"', "{}", '{"active":true}', '{"active":true,"unchanged":true}', "\ufeff{\"active\":false}"]) {
    unusable(body, one, body);
  }
  assert.throws(() => readAnswers(Buffer.from([0x7b, 0xff, 0x7d]), one, parties), Unusable);
  unusable('{"__proto__":{"active":true}}', one, "an inherited member is none");
});

test("what is wrong is said without quoting the answer", () => {
  assert.throws(() => read('{"csrf_token":"hidden"'), (error) => !error.message.includes("hidden"));
  assert.throws(() => read(active({ set_cookie: ["hidden"] })), (error) => !error.message.includes("hidden"));
});

test("inactive, another kind of token, and unchanged where a version was named", () => {
  assert.deepEqual(read({ active: false }), [{ active: false }]);
  assert.deepEqual(read(active({ token_type: "access_token" })), [{ active: false }]);
  const [answer] = read({ active: true, unchanged: true, cache_for: 5 }, { passes: ["a"], ifVersion: "7" });
  assert.deepEqual([answer.active, answer.facts, answer.cacheForSeconds], [true, undefined, 5]);
});

test("a batch answers every pass", () => {
  const two = { passes: ["a", "b"] };
  assert.deepEqual(read({ results: [{ active: false }, active()] }, two).map((answer) => answer.active), [false, true]);
  for (const body of [{ results: [active()] }, active(), { results: {} }, { results: [active(), 7] }]) unusable(body, two);
});
