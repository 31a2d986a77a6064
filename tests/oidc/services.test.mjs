// A program that nobody here has registered, made with `openid-client`, asks for a service in somebody's name, as programs that speak MCP do: with a page
// that says which service it is, with and without scripts, and `jose` as the service.

import assert from "node:assert/strict";
import * as oidc from "openid-client";
import { startServe } from "../browser/engine.mjs";
import { eventually, journey } from "../browser/harness.mjs";
import { inspect } from "../browser/inspect.mjs";
import { createRemoteJWKSet, jwtVerify, refusal, startParty } from "./party.mjs";

const NOTES = "https://notes.company.localhost/mcp";

const start = () => startServe({ configured: async () => `[client_metadata_documents]\nenabled = true\nallow_internal = ["127.0.0.1"]` });

const declared = (more = "") => `
    [apps.notes]
    name = "Team notes"
    access = "everyone"
    origins = ["https://notes.company.localhost"]
    ${more}
`;

for (const [scheme, javaScriptEnabled] of [["light", true], ["dark", true], ["light", false]]) {
    journey(`a client that describes itself uses a service that is open to it and that somebody allows, ${scheme}, ${javaScriptEnabled ? "with" : "without"} scripts`, async (world) => {
        const { demo } = world;
        await demo.apply(declared());
        const party = await startParty(world, "assistant", { describes: true, host: "127.0.0.1" });
        const ana = await world.visitor("ana", { colorScheme: scheme, reducedMotion: "reduce", javaScriptEnabled });
        assert.equal(await party.signIn(ana, { resource: NOTES }), undefined);
        await ana.signIn("ana");
        assert.match(await ana.page.getByRole("main").textContent(), /cannot have here \(invalid_target\)/, "nobody has opened it");

        await demo.apply(declared(`open_to_third_parties = ["${NOTES}"]`));
        await eventually("the engine knows that it is open", 5_000, async () => {
            await party.signIn(ana, { resource: NOTES });
            return ana.page.getByTestId("allow").isVisible();
        });
        const asked = await ana.page.getByTestId("services").textContent();
        assert.match(asked, /Team notes/);
        assert.match(asked, /https:\/\/notes\.company\.localhost\/mcp/);
        if (javaScriptEnabled) await inspect(ana, "consent-service", scheme);
        party.resource = NOTES;
        await ana.page.getByTestId("allow").click();
        await ana.page.getByTestId("who").waitFor();
        const { tokens, claims } = party.last();

        const { issuer, jwks_uri } = party.configuration.serverMetadata();
        const checked = (token, audience) => jwtVerify(token, createRemoteJWKSet(new URL(jwks_uri)), { issuer, audience, typ: "at+jwt" });
        const { payload } = await checked(tokens.access_token, NOTES);
        assert.deepEqual([payload.sub, payload.client_id], [claims.sub, party.document.client_id]);
        await assert.rejects(checked(tokens.access_token, "https://notes.company.localhost"), { claim: "aud" });
        const service = await oidc.discovery(new URL(demo.engine), "notes", undefined, oidc.ClientSecretBasic(await demo.secretOf("notes")), {
            execute: [oidc.allowInsecureRequests],
        });
        const told = () => oidc.tokenIntrospection(service, tokens.access_token).then(({ active, sub, aud }) => ({ active, sub, aud }), () => undefined);
        await eventually("the engine knows the service's secret", 5_000, async () => (await told())?.active);
        assert.deepEqual(await told(), { active: true, sub: claims.sub, aud: NOTES });

        await ana.open(`${demo.engine}/account`);
        assert.match(await ana.page.getByTestId("allowed-service").textContent(), /Team notes/);
        if (javaScriptEnabled) await inspect(ana, "account-with-services", scheme);
        await ana.click(ana.page.getByTestId("revoke-app"));
        assert.deepEqual(await told(), { active: false, sub: undefined, aud: undefined });
        assert.equal(await refusal(oidc.refreshTokenGrant(party.configuration, tokens.refresh_token)), "invalid_grant");
    }, { start });
}
