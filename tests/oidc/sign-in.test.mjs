// `openid-client` (npm) signs people in with the session that the cashier opened: each kind of client, each way to show a secret, both algorithms,
// each `prompt`; and out again.

import assert from "node:assert/strict";
import * as oidc from "openid-client";
import { eventually, journey } from "../browser/harness.mjs";
import { untilKnown } from "../browser/zones.mjs";
import { refusal, startParty } from "./party.mjs";

const algorithmOf = (token) => JSON.parse(Buffer.from(token.split(".")[0], "base64url")).alg;

for (const method of ["client_secret_basic", "client_secret_post"]) {
    for (const alg of ["RS256", "EdDSA"]) {
        journey(`a server with ${method} and ${alg}: tokens without a form, who it is, refreshed, looked at, revoked`, async (world) => {
            const party = await startParty(world, "crm", { method, alg });
            const { configuration } = party;
            const ana = await world.signedIn("ana");
            const walk = await ana.during(() => party.signIn(ana));
            assert.equal(walk.forms, 0, `no form:\n${walk.path.join("\n")}`);
            const { tokens, claims } = party.last();
            assert.equal(algorithmOf(tokens.id_token), alg);
            assert.equal(tokens.expires_in, 300);
            assert.equal(claims.sid, await untilKnown(world.demo, "ana", ["crm"]), "of the session that the cashier opened");

            const person = await oidc.fetchUserInfo(configuration, tokens.access_token, claims.sub);
            assert.deepEqual([person.preferred_username, person.name], ["ana", "Ana Costa"]);

            const next = await oidc.refreshTokenGrant(configuration, tokens.refresh_token);
            assert.notEqual(next.refresh_token, tokens.refresh_token, "each is good once");
            const repeated = await oidc.refreshTokenGrant(configuration, tokens.refresh_token);
            assert.equal(repeated.refresh_token, next.refresh_token, "an answer that got lost is repeated");
            assert.deepEqual([next.claims().sub, next.claims().auth_time], [claims.sub, claims.auth_time]);
            const last = await oidc.refreshTokenGrant(configuration, next.refresh_token);

            // Introspection takes the secret by Basic only, as discovery says; the library asks in the same way everywhere.
            const asking = await party.as("client_secret_basic");
            const seen = await oidc.tokenIntrospection(asking, last.access_token);
            assert.deepEqual([seen.active, seen.sub, seen.client_id], [true, claims.sub, "crm"]);
            await oidc.tokenRevocation(configuration, last.refresh_token);
            assert.deepEqual(await oidc.tokenIntrospection(asking, last.access_token), { active: false });
            assert.equal(await refusal(oidc.refreshTokenGrant(configuration, last.refresh_token)), "invalid_grant");
            assert.equal(await refusal(oidc.fetchUserInfo(configuration, last.access_token, claims.sub)), "invalid_token");
        });
    }
}

journey("a refresh token that comes back when its time is over ends all of them", async (world) => {
    const party = await startParty(world, "crm");
    const ana = await world.signedIn("ana");
    const { tokens } = await party.signIn(ana);
    const next = await oidc.refreshTokenGrant(party.configuration, tokens.refresh_token);
    const last = await oidc.refreshTokenGrant(party.configuration, next.refresh_token);
    assert.equal(await refusal(oidc.refreshTokenGrant(party.configuration, tokens.refresh_token)), "invalid_grant", "two generations ago");
    assert.equal(await refusal(oidc.refreshTokenGrant(party.configuration, last.refresh_token)), "invalid_grant", "the newest is of no use, either");
});

journey("an answer by form_post", async (world) => {
    const party = await startParty(world, "crm");
    const ana = await world.signedIn("ana");
    await party.signIn(ana, { response_mode: "form_post" });
    await ana.page.getByTestId("who").waitFor();
    assert.equal(party.last().method, "POST");
    assert.ok(party.last().claims.sub);
});

journey("a program on this computer, without a secret, at whichever port is free", async (world) => {
    const party = await startParty(world, "tool", { method: "none", host: "127.0.0.1", lines: `client = "native"` });
    const ana = await world.signedIn("ana");
    const { tokens, claims } = await party.allowedBy(ana);
    const next = await oidc.refreshTokenGrant(party.configuration, tokens.refresh_token);
    assert.equal(next.claims().sub, claims.sub);
    await oidc.tokenRevocation(party.configuration, next.refresh_token);
    assert.equal(await refusal(oidc.refreshTokenGrant(party.configuration, next.refresh_token)), "invalid_grant");
});

journey("prompt=none: login_required for a stranger, tokens for whoever is signed in", async (world) => {
    const party = await startParty(world, "crm");
    const ana = await world.visitor("ana");
    assert.equal((await party.signIn(ana, { prompt: "none" })).error, "login_required");
    await ana.open(world.demo.apps.cashier);
    await ana.signIn("ana");
    assert.ok((await party.signIn(ana, { prompt: "none" })).claims.sub);
});

journey("prompt=login and max_age=0 ask again; the session stays, its proof is new", async (world) => {
    const party = await startParty(world, "crm");
    const ana = await world.signedIn("ana");
    const first = (await party.signIn(ana)).claims;
    assert.ok((await party.signIn(ana, { max_age: 600 })).claims, "somebody who has just signed in");
    for (const parameters of [{ prompt: "login" }, { max_age: 0 }]) {
        // `auth_time` counts seconds: a new proof is told from the old one when the clock has moved on.
        await eventually("another second", 2_000, () => Math.floor(Date.now() / 1000) > party.last().claims.auth_time);
        const before = party.last().claims;
        assert.equal(await party.signIn(ana, parameters), undefined, "the form comes first");
        assert.ok(await ana.isAskedToSignIn());
        await ana.page.getByLabel("Password", { exact: true }).fill(world.demo.person("ana").password);
        await ana.page.getByRole("button", { name: "Sign in", exact: true }).click();
        await ana.page.getByTestId("who").waitFor();
        const { claims } = party.last();
        assert.deepEqual([claims.sub, claims.sid], [first.sub, first.sid]);
        assert.ok(claims.auth_time > before.auth_time);
    }
    await ana.open(world.demo.apps.cashier);
    assert.equal(await ana.who(), "ana", "signed in as ever everywhere else");
});

journey("prompt=select_account, consent and create ask what they are for", async (world) => {
    const party = await startParty(world, "crm");
    const ana = await world.signedIn("ana");
    await party.signIn(ana, { prompt: "select_account" });
    await ana.page.getByTestId("continue-as").click();
    await ana.page.getByTestId("who").waitFor();
    const { sub } = party.last().claims;

    await party.signIn(ana, { prompt: "consent" });
    await ana.page.getByTestId("allow").click();
    await ana.page.getByTestId("who").waitFor();
    assert.equal(party.last().claims.sub, sub);
    await party.signIn(ana, { prompt: "consent" });
    await ana.page.getByTestId("deny").click();
    await ana.page.getByTestId("refused").waitFor();
    assert.equal(party.last().error, "access_denied");

    const ben = await world.visitor("ben");
    await party.signIn(ben, { prompt: "create", login_hint: "ben" });
    assert.equal(await ben.page.getByTestId("no-sign-up").count(), 1);
    await (await ben.fillIn("ben")).click();
    await ben.page.getByTestId("who").waitFor();
    assert.notEqual(party.last().claims.sub, sub);
});

journey("a client's sign-out is one everywhere, brings people back to it, and tells the others", async (world) => {
    const [crm, wiki] = [await startParty(world, "crm"), await startParty(world, "wiki", { alg: "EdDSA" })];
    const ana = await world.signedIn("ana");
    const { tokens, claims } = await crm.signIn(ana);
    const other = await wiki.signIn(ana);
    assert.equal(other.claims.sid, claims.sid);
    const there = { id_token_hint: tokens.id_token, post_logout_redirect_uri: `${crm.origin}/left`, state: "s" };
    await ana.page.goto(oidc.buildEndSessionUrl(crm.configuration, there).href);
    await ana.reaches(`${crm.origin}/left?state=s`);
    await ana.open(world.demo.apps.cashier);
    assert.ok(await ana.isAskedToSignIn(), "signed out of the cashier, too");
    await eventually("both clients have a logout token that they can verify", 10_000, () => crm.told.length && wiki.told.length);
    assert.deepEqual([crm.told[0], wiki.told[0]], [claims.sid, claims.sid]);
    assert.equal(await refusal(oidc.refreshTokenGrant(wiki.configuration, other.tokens.refresh_token)), "invalid_grant");
});
