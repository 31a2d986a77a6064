// The JWT profile (protocol §8; RFC 8725): one assertion is accepted, once, and whatever differs from it in one respect is refused for that.

import assert from "node:assert/strict";
import { constants, createHash, createHmac, generateKeyPairSync, sign } from "node:crypto";
import { test } from "node:test";

import { AssertionRefused, SeenAssertions, verifyAssertion } from "../dist/index.js";

const NOW = 1_800_000_000;
const STATE = "c3RhdGVzdGF0ZXN0YXRlc3RhdGVzdGF0ZXN0YXRlc3Q";
const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const kinds = {
  EdDSA: { pair: generateKeyPairSync("ed25519"), sign: (data, key) => sign(null, data, key) },
  ES256: { pair: generateKeyPairSync("ec", { namedCurve: "P-256" }), sign: (data, key) => sign("sha256", data, { key, dsaEncoding: "ieee-p1363" }) },
  PS256: { pair: rsa, sign: (data, key) => sign("sha256", data, { key, ...pss }) },
  RS256: { pair: rsa, sign: (data, key) => sign("sha256", data, key) },
};
const jwk = (alg, pair = kinds[alg].pair, more = {}) => ({ ...pair.publicKey.export({ format: "jwk" }), kid: `k-${alg}`, alg, use: "sig", ...more });
const jwks = { keys: Object.keys(kinds).map((alg) => jwk(alg)) };

const packed = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const claims = (more = {}) => ({
  iss: "https://auth.company.com", aud: "pos", dst: "https://pos.company2.com/.sso/callback", nonce: createHash("sha256").update(STATE).digest("base64url"),
  iat: NOW - 5, exp: NOW + 25, jti: "j_1", sub: "u_ana", sid: "s_1", auth_time: NOW - 100, ...more,
});
const headerOf = (alg, more = {}) => ({ alg, kid: `k-${alg}`, typ: "handoff+jwt", ...more });

function token({ alg = "EdDSA", header = headerOf(alg), body = claims(), key = kinds[alg].pair.privateKey } = {}) {
  const signed = `${packed(header)}.${packed(body)}`;
  return `${signed}.${kinds[alg].sign(Buffer.from(signed), key).toString("base64url")}`;
}

const expected = (more = {}) => ({
  issuer: "https://auth.company.com", appKey: "pos", redirectUri: "https://pos.company2.com/.sso/callback", state: STATE, jwks, now: NOW, seen: () => false, ...more,
});

const refused = (text, reason, more) =>
  assert.rejects(verifyAssertion(text, expected(more)), (error) => {
    assert.ok(error instanceof AssertionRefused, String(error));
    assert.equal(error.reason, reason);
    return true;
  });

for (const alg of Object.keys(kinds)) {
  test(`an assertion signed by ${alg} is accepted`, async () => {
    const { sub, sid, authTime, jti, issuedAt, expiresAt } = await verifyAssertion(token({ alg }), expected());
    assert.deepEqual([sub, sid, authTime, jti, issuedAt, expiresAt], ["u_ana", "s_1", NOW - 100, "j_1", NOW - 5, NOW + 25]);
  });
}

test("no token chooses its own algorithm", async () => {
  const [, body] = token().split(".");
  await refused(`${packed(headerOf("none", { kid: "k-EdDSA" }))}.${body}.`, "malformed");
  await refused(`${packed(headerOf("none", { kid: "k-EdDSA" }))}.${body}.AA`, "alg");
  for (const [alg, spelled] of [["EdDSA", "eddsa"], ["ES256", "ES384"], ["RS256", "RS512"], ["PS256", "PS384"], ["EdDSA", "Ed25519"]]) {
    await refused(token({ alg, header: headerOf(alg, { alg: spelled }) }), "alg");
  }
  for (const alg of [["EdDSA"], null, 0, { toString: "EdDSA" }]) await refused(token({ header: headerOf("EdDSA", { alg }) }), "alg");
  const pem = rsa.publicKey.export({ type: "spki", format: "pem" });
  for (const secret of [pem, rsa.publicKey.export({ type: "spki", format: "der" }), JSON.stringify(jwk("RS256"))]) {
    const signed = `${packed(headerOf("HS256", { kid: "k-RS256" }))}.${body}`;
    await refused(`${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`, "alg");
  }
});

test("a key is used for its own algorithm only", async () => {
  await refused(token({ alg: "RS256", header: headerOf("RS256", { kid: "k-PS256" }) }), "key");
  await refused(token({ alg: "PS256", header: headerOf("PS256", { kid: "k-RS256" }) }), "key");
  await refused(token({ alg: "EdDSA", header: headerOf("EdDSA", { kid: "k-ES256" }) }), "key");
  const with_ = (key) => ({ jwks: { keys: [key] } });
  await refused(token(), "key", with_(jwk("EdDSA", kinds.ES256.pair)));
  await refused(token({ alg: "ES256" }), "key", with_(jwk("ES256", generateKeyPairSync("ec", { namedCurve: "P-384" }))));
  await refused(token({ alg: "ES256" }), "key", with_(jwk("ES256", generateKeyPairSync("ec", { namedCurve: "secp256k1" }))));
  await refused(token({ alg: "RS256" }), "key", with_(jwk("RS256", generateKeyPairSync("rsa", { modulusLength: 1024 }))));
  await refused(token(), "key", with_(jwk("EdDSA", undefined, { use: "enc" })));
  await refused(token(), "key", with_(jwk("EdDSA", undefined, { alg: undefined })));
  await refused(token(), "key", with_({ kid: "k-EdDSA", alg: "EdDSA", kty: "oct", k: "c2VjcmV0" }));
  await refused(token(), "key", with_({ kid: "k-EdDSA", alg: "EdDSA" }));
});

test("the key is the one that the token names", async () => {
  for (const kid of ["k-other", "", "K-EDDSA", 5, null, ["k-EdDSA"]]) await refused(token({ header: headerOf("EdDSA", { kid }) }), "kid");
  await refused(token(), "kid", { jwks: { keys: [] } });
  await refused(token(), "kid", { jwks: { keys: [jwk("EdDSA"), jwk("EdDSA", generateKeyPairSync("ed25519"))] } });
  await refused(token(), "signature", { jwks: { keys: [jwk("EdDSA", generateKeyPairSync("ed25519"))] } });
  await refused(token({ key: generateKeyPairSync("ed25519").privateKey }), "signature");
});

test("no other token of the engine's is an assertion, and the header says nothing else", async () => {
  for (const typ of ["pass+jwt", "logout+jwt", "at+jwt", "JWT", "HANDOFF+JWT", "application/handoff+jwt", null]) await refused(token({ header: headerOf("EdDSA", { typ }) }), "typ");
  const { alg, kid, typ } = headerOf("EdDSA");
  const more = { jwk: jwk("EdDSA"), jku: "https://evil.example/", x5u: "https://evil.example/", crit: ["exp"], b64: false, cty: "JWT", zip: "DEF" };
  for (const [name, value] of Object.entries(more)) await refused(token({ header: { ...headerOf("EdDSA"), [name]: value } }), "header");
  for (const header of [{ alg, kid }, { alg, typ }, { kid, typ }, {}, [], "null", "not JSON", '"text"', `{"alg":"none","alg":"EdDSA","kid":"${kid}","typ":"${typ}"}`, `{ "alg":"EdDSA","kid":"${kid}","typ":"${typ}"}`]) {
    await refused(token({ header }), "header");
  }
});

test("what is altered is no token any more", async () => {
  const good = token();
  const [head, body, signature] = good.split(".");
  const flipped = signature.slice(0, 10) + (signature[10] === "A" ? "B" : "A") + signature.slice(11);
  const shorter = Buffer.from(signature, "base64url").subarray(1).toString("base64url");
  for (const spoiled of [`${head}.${body}.${flipped}`, `${head}.${packed(claims({ sub: "u_ben" }))}.${signature}`, `${head}.${body}.AA`, `${good}A`, `${head}.${body}.${shorter}`]) await refused(spoiled, "signature");
  for (const spoiled of ["", "a.b", `${good}.`, `${good}.AA`, ` ${good}`, `${good}\n`, `${good}=`, `.${body}.${signature}`, `${good.slice(0, -1)}/`, undefined, null, 5, { toString: () => good }, "a".repeat(8193)]) {
    await refused(spoiled, "malformed");
  }
  const der = sign("sha256", Buffer.from(`${packed(headerOf("ES256"))}.${body}`), kinds.ES256.pair.privateKey);
  await refused(`${packed(headerOf("ES256"))}.${body}.${der.toString("base64url")}`, "signature");
});

test("it is by this engine, for this site, at this address, of this browser", async () => {
  for (const [claim, values] of [
    ["iss", ["https://auth.company.com/", "https://evil.example", null, undefined]], ["aud", ["cashier", ["pos"], ["pos", "cashier"], "POS", null, undefined]],
    ["dst", ["https://pos.company2.com/.sso/callback?x", "https://pos.company2.com/.sso/callback/", "https://evil.example/.sso/callback", undefined]],
    ["nonce", [STATE, createHash("sha256").update(STATE).digest("hex"), createHash("sha256").update(Buffer.from(STATE, "base64url")).digest("base64url"), "", undefined]],
  ]) {
    for (const value of values) await refused(token({ body: claims({ [claim]: value }) }), claim);
  }
  await refused(token(), "nonce", { state: `${STATE.slice(0, -1)}A` });
  await refused(token({ body: claims({ nonce: createHash("sha256").update("").digest("base64url") }) }), "nonce", { state: "" });
});

test("it lives for half a minute", async () => {
  await refused(token(), "expired", { now: NOW + 25 });
  await refused(token(), "expired", { now: NOW + 26 });
  await refused(token(), "expired", { now: NaN });
  await verifyAssertion(token(), expected({ now: NOW + 24 }));
  await verifyAssertion(token(), expected({ now: NOW - 10 }));
  await refused(token(), "not_yet_valid", { now: NOW - 11 });
  for (const [iat, exp] of [[NOW - 5, NOW + 26], [NOW, NOW], [NOW + 10, NOW + 5], [0, NOW + 25]]) await refused(token({ body: claims({ iat, exp }) }), "lifetime");
});

test("every claim is there, in its type", async () => {
  for (const [claim, values] of [
    ["iat", ["1", 1.5, null, -1, undefined]], ["exp", ["9999999999", 1.5, null, undefined]], ["auth_time", ["1", -1, 1.5, undefined]],
    ["jti", ["", 5, undefined, "j".repeat(257)]], ["sub", ["", 5, undefined, ["u_ana"]]], ["sid", ["", 5, undefined, null]],
  ]) {
    for (const value of values) await refused(token({ body: claims({ [claim]: value }) }), "claims");
  }
  for (const body of ["[]", "null", "text", '"text"']) await refused(token({ body }), "claims");
});

test("it is good once, and what is refused uses nothing up", async () => {
  const { seen } = new SeenAssertions(() => NOW);
  await refused(token({ body: claims({ aud: "cashier" }) }), "aud", { seen });
  await refused(token({ key: generateKeyPairSync("ed25519").privateKey }), "signature", { seen });
  await verifyAssertion(token(), expected({ seen }));
  await refused(token(), "replayed", { seen });
  await refused(token({ alg: "ES256" }), "replayed", { seen });
  await verifyAssertion(token({ body: claims({ jti: "j_2" }) }), expected({ seen }));
  await refused(token(), "replayed", { seen: async () => true });
  await assert.rejects(verifyAssertion(token(), expected({ seen: () => Promise.reject(new Error("the store is away")) })), /the store is away/);
});

test("what was used is remembered within bounds, and never forgotten too early", () => {
  let now = NOW;
  const { seen } = new SeenAssertions(() => now, 3);
  for (const jti of ["a", "b", "c"]) assert.equal(seen(jti, NOW + 30), false);
  assert.equal(seen("d", NOW + 30), true, "full: refused rather than forgotten");
  now = NOW + 29;
  assert.deepEqual([seen("a", NOW + 30), seen("d", NOW + 60)], [true, true]);
  now = NOW + 30;
  assert.deepEqual([seen("d", NOW + 60), seen("d", NOW + 60)], [false, true]);
});
