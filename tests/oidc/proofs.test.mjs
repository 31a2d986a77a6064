// `openid-client` (npm) where a secret in a request is not enough: assertions that the client signs, requests by the back channel, tokens bound to a key;
// and names that mean something to one client only.

import assert from "node:assert/strict";
import * as oidc from "openid-client";
import { journey } from "../browser/harness.mjs";
import { makeSigner, refusal, startParty } from "./party.mjs";

journey("private_key_jwt: tokens for whoever signs with the declared key, and says whom it means", async (world) => {
    const party = await startParty(world, "crm", { method: "private_key_jwt" });
    const { configuration, signer } = party;
    const ana = await world.signedIn("ana");
    const { tokens, claims } = await party.signIn(ana);
    const person = await oidc.fetchUserInfo(configuration, tokens.access_token, claims.sub);
    assert.equal(person.preferred_username, "ana");
    const seen = await oidc.tokenIntrospection(configuration, tokens.access_token);
    assert.deepEqual([seen.active, seen.client_id], [true, "crm"]);

    const refreshed = async (authentication) => oidc.refreshTokenGrant(await party.as(authentication), tokens.refresh_token);
    const signed = (change) => oidc.PrivateKeyJwt(signer, { [oidc.modifyAssertion]: (_header, payload) => Object.assign(payload, change) });
    const { issuer, token_endpoint } = configuration.serverMetadata();
    const refused = {
        "another's key": oidc.PrivateKeyJwt({ ...(await makeSigner()), kid: signer.kid }),
        "for the token endpoint": signed({ aud: token_endpoint }),
        "for several": signed({ aud: [issuer, token_endpoint] }),
        "for us, in a list": signed({ aud: [issuer] }),
        "of another client": signed({ sub: "pos" }),
        "its secret": "client_secret_basic",
        "its secret, in the form": "client_secret_post",
        "nothing": "none",
    };
    for (const [what, authentication] of Object.entries(refused)) {
        assert.equal(await refusal(refreshed(authentication)), "invalid_client", what);
    }
    const once = signed({ jti: "once" });
    const next = await refreshed(once);
    assert.equal(next.claims().sub, claims.sub, "none of that has used the token up");
    assert.equal(await refusal(refreshed(once)), "invalid_client", "an assertion is good once");
});

for (const method of ["client_secret_basic", "private_key_jwt"]) {
    journey(`PAR with ${method}: one code comes of a pushed request, and none of any other`, async (world) => {
        const party = await startParty(world, "crm", { method, lines: "require_pushed_authorization_requests = true" });
        const ana = await world.signedIn("ana");
        party.push = true;
        const walk = await ana.during(() => party.signIn(ana));
        assert.equal(walk.forms, 0, walk.path.join("\n"));
        assert.ok(party.last().claims.sub);
        assert.deepEqual([...new URL(party.asked).searchParams.keys()].sort(), ["client_id", "request_uri"]);

        const before = party.arrivals.length;
        assert.equal((await ana.open(party.asked)).status, 400, "a second time");
        assert.equal(party.arrivals.length, before);

        party.push = false;
        assert.equal((await party.signIn(ana)).error, "invalid_request", "by the browser");
    });
}

const PAIRWISE = `subject_type = "pairwise"`;

const makeProver = async (party) => oidc.getDPoPHandle(party.configuration, await oidc.randomDPoPKeyPair());

/** With the key the token opens userinfo; without it, and with another, it does not. */
async function isBound(party, { access_token }, { sub }) {
    const { configuration, dpop } = party;
    const person = await oidc.fetchUserInfo(configuration, access_token, sub, { DPoP: dpop });
    assert.equal(person.preferred_username, "ana");
    assert.equal(await refusal(oidc.fetchUserInfo(configuration, access_token, sub)), "invalid_token", "as a bearer token");
    const another = { DPoP: await makeProver(party) };
    assert.equal(await refusal(oidc.fetchUserInfo(configuration, access_token, sub, another)), "invalid_token", "by another key");
}

journey("DPoP: a server's tokens are of use with its key only", async (world) => {
    const party = await startParty(world, "crm", { lines: "require_dpop = true" });
    const { configuration } = party;
    const ana = await world.signedIn("ana");
    assert.equal((await party.signIn(ana)).error, "invalid_dpop_proof", "there are none without a proof");
    party.dpop = await makeProver(party);
    const { tokens, claims } = await party.signIn(ana);
    assert.equal(tokens.token_type, "dpop");
    await isBound(party, tokens, claims);
    const seen = await oidc.tokenIntrospection(configuration, tokens.access_token);
    assert.deepEqual([seen.active, seen.token_type, seen.cnf], [true, "DPoP", { jkt: await party.dpop.calculateThumbprint() }]);

    assert.equal(await refusal(oidc.refreshTokenGrant(configuration, tokens.refresh_token)), "invalid_dpop_proof");
    party.dpop = await makeProver(party);
    const next = await oidc.refreshTokenGrant(configuration, tokens.refresh_token, undefined, { DPoP: party.dpop });
    assert.equal(next.token_type, "dpop");
    await isBound(party, next, claims);
});

journey("DPoP: a program's refresh token is of use with its key only", async (world) => {
    const party = await startParty(world, "tool", { method: "none", host: "127.0.0.1", lines: `client = "native"` });
    const { configuration } = party;
    const ana = await world.signedIn("ana");
    party.dpop = await makeProver(party);
    const { tokens, claims } = await party.allowedBy(ana, { dpop_jkt: await party.dpop.calculateThumbprint() });
    assert.equal(tokens.token_type, "dpop");
    await isBound(party, tokens, claims);

    const refreshed = (DPoP) => oidc.refreshTokenGrant(configuration, tokens.refresh_token, undefined, { DPoP });
    assert.equal(await refusal(refreshed(undefined)), "invalid_grant", "without a proof");
    assert.equal(await refusal(refreshed(await makeProver(party))), "invalid_grant", "by another key");
    const next = await refreshed(party.dpop);
    await isBound(party, next, claims);
});

journey("pairwise subjects: no two clients know the same name", async (world) => {
    const [crm, wiki] = [await startParty(world, "crm", { lines: PAIRWISE }), await startParty(world, "wiki", { lines: PAIRWISE })];
    const ana = await world.signedIn("ana");
    const names = [];
    for (const party of [crm, wiki]) {
        const { tokens, claims } = await party.signIn(ana);
        assert.match(claims.sub, /^pw_/);
        // The library refuses an answer about anybody but this `sub`.
        assert.equal((await oidc.fetchUserInfo(party.configuration, tokens.access_token, claims.sub)).preferred_username, "ana");
        assert.equal((await party.signIn(ana)).claims.sub, claims.sub, "the same each time");
        names.push(claims.sub);
    }
    assert.notEqual(names[0], names[1]);
});
