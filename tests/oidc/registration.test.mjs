// `openid-client` (npm) registers itself, signs somebody in who allows it, and ends its registration.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as oidc from "openid-client";
import { startServe } from "../browser/engine.mjs";
import { journey } from "../browser/harness.mjs";
import { refusal, startParty } from "./party.mjs";

const INITIAL = "an initial access token of this journey".replaceAll(" ", "-");

const start = () => startServe({
    configured: async (_url, folder) => {
        const file = join(folder, "initial-access-token");
        writeFileSync(file, INITIAL);
        return `[registration]\ninitial_access_token = { file = "${file}" }\naccess = "everyone"`;
    },
});

for (const [method, host] of [["client_secret_post", "planner.company9.localhost"], ["none", "127.0.0.1"]]) {
    journey(`dynamic registration with ${method}: from nothing to tokens, and back to nothing`, async (world) => {
        assert.equal(await refusal(startParty(world, "planner", { method, host, registration: `${INITIAL}x` })), "invalid_token");

        const party = await startParty(world, "planner", { method, host, registration: INITIAL });
        const { configuration } = party;
        const registered = configuration.clientMetadata();
        assert.match(registered.client_id, /^dyn-/);
        assert.equal(registered.client_secret === undefined, method === "none");

        const ana = await world.visitor("ana");
        assert.equal(await party.signIn(ana), undefined);
        await ana.signIn("ana");
        await ana.page.getByTestId("allow").click();
        await ana.page.getByTestId("who").waitFor();
        const { tokens, claims } = party.last();
        const person = await oidc.fetchUserInfo(configuration, tokens.access_token, claims.sub);
        assert.equal(person.preferred_username, "ana");
        const next = await oidc.refreshTokenGrant(configuration, tokens.refresh_token);
        assert.equal(next.claims().sub, claims.sub);

        const manage = (method) => {
            const { registration_access_token, registration_client_uri } = registered;
            return oidc.fetchProtectedResource(configuration, registration_access_token, new URL(registration_client_uri), method);
        };
        assert.deepEqual((await (await manage("GET")).json()).redirect_uris, registered.redirect_uris);
        assert.equal((await manage("DELETE")).status, 204);
        assert.equal(await refusal(manage("GET")), "invalid_token");
        assert.equal(await refusal(oidc.refreshTokenGrant(configuration, next.refresh_token)), "invalid_client");
        assert.equal(await refusal(oidc.fetchUserInfo(configuration, next.access_token, claims.sub)), "invalid_token");
    }, { start });
}
