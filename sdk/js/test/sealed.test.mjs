// The sealed cookie that remembers who was accepted, and the click that accepts another person (protocol §2).

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { test } from "node:test";

import { fingerprint, makeSealer, open, seal } from "../dist/sealer.js";
import { fromCommand, fromEnv, fromFile, SecretKey } from "../dist/secret.js";
import { confirms, readSeen, SEEN_COOKIE, seenCookie, seenOf, switchQuestion } from "../dist/seen.js";

const sealer = (appKey, ...secrets) => makeSealer(appKey, secrets.map((text) => new SecretKey(text)));
const pos = sealer("pos", "one");
const ana = { userId: "u_ana", username: "ana", sessionId: "s_1" };
const NOBODY = { somebody: undefined, cleanUp: true };
const bring = (...values) => [["cookie", values.map((value) => `${SEEN_COOKIE}=${value}`).join("; ")]];
const valueOf = (line) => /^[^=]+=([^;]+); Path=\/; Max-Age=34560000; Secure; HttpOnly; SameSite=Lax$/.exec(line)[1];

test("a sealed value opens for its purpose, its app and unaltered", () => {
  const sealed = seal(pos, "Ana", "seen");
  assert.equal(open(pos, sealed, "seen").plaintext.toString(), "Ana");
  assert.notEqual(seal(pos, "Ana", "seen"), sealed, "never twice the same");
  assert.equal(open(pos, sealed, "switch"), undefined);
  assert.equal(open(sealer("cashier", "one"), sealed, "seen"), undefined);
  for (const other of ["=", " ", "!", "A"]) assert.equal(open(pos, sealed + other, "seen"), undefined, other);
  for (let index = 0; index < sealed.length; index += 1) {
    const altered = sealed.slice(0, index) + (sealed[index] === "A" ? "B" : "A") + sealed.slice(index + 1);
    assert.equal(open(pos, altered, "seen"), undefined, `character ${index}`);
    assert.equal(open(pos, sealed.slice(0, index), "seen"), undefined, `cut at ${index}`);
  }
});

test("what a previous secret sealed still opens and says so", () => {
  const rotated = sealer("pos", "two", "one");
  assert.equal(open(rotated, seal(pos, "Ana", "seen"), "seen").byPrevious, true);
  const renewed = seal(rotated, "Ana", "seen");
  assert.equal(open(rotated, renewed, "seen").byPrevious, false);
  assert.equal(open(pos, renewed, "seen"), undefined);
});

test("what was sealed is seen and anything else is nobody", () => {
  const value = valueOf(seenCookie(seenOf(ana), pos));
  assert.ok(!Buffer.from(value, "base64url").includes("ana"), "sealed");
  assert.deepEqual(readSeen(bring(value), pos), { somebody: { sid: "s_1", sub: "u_ana", username: "ana" }, byPrevious: false });
  assert.deepEqual(readSeen([], pos), { somebody: undefined, cleanUp: false });
  for (const values of [["x"], [""], [value, value], [value.slice(1)], [switchQuestion(ana, 100, pos)], [seal(pos, "null", "seen")]]) {
    assert.deepEqual(readSeen(bring(...values), pos), NOBODY, values.join(" "));
  }
  for (const plaintext of ["{}", "not JSON", '{"sid":1,"sub":"u","username":"x"}', "[]"]) {
    assert.deepEqual(readSeen(bring(seal(pos, plaintext, "seen")), pos), NOBODY, plaintext);
  }
});

test("a click accepts the person named for ten minutes", () => {
  const asked = switchQuestion(ana, 100, pos);
  assert.equal(confirms(asked, ana, 699, pos), true);
  assert.equal(confirms(asked, ana, 700, pos), false);
  assert.equal(confirms(asked, ana, 99, pos), false);
  assert.equal(confirms(asked, { ...ana, userId: "u_bob" }, 100, pos), false);
  for (const forged of ["", "u_ana", valueOf(seenCookie(seenOf(ana), pos))]) assert.equal(confirms(forged, ana, 100, pos), false);
});

test("fingerprints are framed", () => {
  assert.notEqual(fingerprint(["ab", "c"]), fingerprint(["a", "bc"]));
  assert.notEqual(fingerprint(["ab"]), fingerprint(["ab", ""]));
});

test("a secret key is read from where secrets live and never shown", () => {
  assert.equal(fromCommand(["printf", "  %s\n", "hp_sk_abc"]).expose(), "hp_sk_abc");
  const secret = new SecretKey("hp_sk_abc\n");
  assert.equal(secret.expose(), "hp_sk_abc");
  for (const shown of [inspect(secret), String(secret), JSON.stringify(secret), inspect({ secret }, { depth: 9, showHidden: true })]) {
    assert.ok(!shown.includes("hp_sk_abc"), shown);
  }
  const says = (read, pattern) => assert.throws(read, (error) => pattern.test(error.message) && !error.message.includes("hp_sk_abc"));
  says(() => fromCommand(["sh", "-c", "echo hp_sk_abc; exit 3"]), /the command sh: exit status 3$/);
  says(() => fromCommand(["/nonexistent/vault"]), /vault: ENOENT$/);
  says(() => fromCommand(["yes"]), /more than a secret key$/);
  says(() => fromCommand([]), /it is empty$/);
  says(() => fromEnv("HALLPASS_CLIENT_TEST_UNSET"), /HALLPASS_CLIENT_TEST_UNSET is not set$/);
  says(() => fromFile("/nonexistent/secret"), /could not be read from \/nonexistent\/secret$/);
});
