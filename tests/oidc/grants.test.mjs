// `openid-client` (npm) and the grants that need no browser of the client's own: for the app itself, for a device, for another service.

import assert from "node:assert/strict";
import * as oidc from "openid-client";
import { journey } from "../browser/harness.mjs";
import { PASS } from "../browser/zones.mjs";
import { createRemoteJWKSet, jwtVerify, refusal, startParty } from "./party.mjs";

const AUDIENCES = `audiences = ["https://inventory.company.com"]`;
const claimsOf = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));

journey("client credentials: a token for the app itself", async (world) => {
    const { configuration } = await startParty(world, "batch", { lines: `${AUDIENCES}\nclient_credentials = true` });
    const token = await oidc.clientCredentialsGrant(configuration, { resource: "https://inventory.company.com" });
    assert.deepEqual([token.token_type, token.expires_in, token.refresh_token], ["bearer", 300, undefined]);
    const { sub, aud, sid } = claimsOf(token.access_token);
    assert.deepEqual([sub, aud, sid], ["batch", "https://inventory.company.com", undefined]);
});

journey("the device grant: allowed in the browser in which the cashier signed somebody in", async (world) => {
    const { configuration } = await startParty(world, "tv", { lines: "device = true" });
    const ana = await world.signedIn("ana");
    const begun = await oidc.initiateDeviceAuthorization(configuration, { scope: "openid profile" });
    const tokens = oidc.pollDeviceAuthorizationGrant(configuration, begun);
    await ana.open(begun.verification_uri_complete);
    await ana.click(ana.page.getByTestId("look"));
    assert.equal(await ana.page.getByTestId("code").innerText(), begun.user_code);
    await ana.click(ana.page.getByTestId("allow"));
    const { access_token, refresh_token } = await tokens;
    const person = await oidc.fetchUserInfo(configuration, access_token, oidc.skipSubjectCheck);
    assert.equal(person.preferred_username, "ana");
    assert.ok((await oidc.refreshTokenGrant(configuration, refresh_token)).access_token);

    const refused = await oidc.initiateDeviceAuthorization(configuration, { scope: "openid" });
    await ana.open(refused.verification_uri_complete);
    await ana.click(ana.page.getByTestId("look"));
    await ana.click(ana.page.getByTestId("deny"));
    const error = await oidc.pollDeviceAuthorizationGrant(configuration, refused).then(() => assert.fail("denied"), (error) => error);
    assert.equal(error.error, "access_denied");
});

journey("token exchange: an access token or a visitor's pass for a token that a service takes", async (world) => {
    const { configuration } = await startParty(world, "front", { host: "front.company.localhost", lines: AUDIENCES });
    const ana = await world.signedIn("ana");
    await ana.open(world.demo.apps.cashier);
    const [pass] = await ana.cookies(PASS);
    const exchange = (subject_token_type, subject_token) => oidc.genericGrantRequest(
        configuration,
        "urn:ietf:params:oauth:grant-type:token-exchange",
        { subject_token_type, subject_token, audience: "https://inventory.company.com" },
    );
    const token = await exchange("urn:hallpass:params:oauth:token-type:pass", pass.value);
    const { sub, aud, client_id } = claimsOf(token.access_token);
    assert.deepEqual([aud, client_id, token.expires_in], ["https://inventory.company.com", "front", 60]);
    assert.equal(sub, JSON.parse(await world.demo.hallpass("user", "show", "ana", "--json")).id);
});

journey("resource indicators: an access token for one service, which the service can check, and for no other", async (world) => {
    const [stock, billing] = ["https://stock.company.com", "https://billing.company.com"];
    const party = await startParty(world, "crm", { lines: `audiences = ["${stock}", "${billing}"]` });
    const ana = await world.signedIn("ana");
    party.resource = stock;
    const { tokens, claims } = await party.signIn(ana, { resource: stock });
    const { issuer, jwks_uri } = party.configuration.serverMetadata();
    const checked = (token, audience) => jwtVerify(token, createRemoteJWKSet(new URL(jwks_uri)), { issuer, audience, typ: "at+jwt" });
    const { payload } = await checked(tokens.access_token, stock);
    assert.deepEqual([payload.aud, payload.sub, payload.client_id], [stock, claims.sub, "crm"]);
    await assert.rejects(checked(tokens.access_token, billing), { code: "ERR_JWT_CLAIM_VALIDATION_FAILED", claim: "aud" });
    assert.equal(await refusal(oidc.fetchUserInfo(party.configuration, tokens.access_token, claims.sub)), "invalid_token", "it is not for us");

    const refreshed = (resource) => oidc.refreshTokenGrant(party.configuration, tokens.refresh_token, { resource });
    assert.equal(await refusal(refreshed(billing)), "invalid_target", "declared, but not asked for");
    const next = await refreshed(stock);
    assert.equal((await checked(next.access_token, stock)).payload.sub, claims.sub);

    party.resource = undefined;
    assert.equal((await party.signIn(ana, { resource: "https://elsewhere.company.com" })).error, "invalid_target");
});
