// Signing in at a provider that is not ours, in a real browser: npm oidc-provider, with every signature that we take; and by way of every door on the
// sign-in page. With and without JavaScript.

import assert from "node:assert/strict";
import { inspect } from "./inspect.mjs";
import { signInThere, upstreamJourney } from "./upstream-journey.mjs";

for (const [algorithm, authentication] of [
    ["RS256", "client_secret_basic"],
    ["PS256", "client_secret_post"],
    ["ES256", "client_secret_basic"],
    ["EdDSA", "client_secret_post"],
]) {
    upstreamJourney(
        `somebody signs in at another provider, by ${algorithm} and ${authentication}`,
        async (world) => {
            const { demo, provider } = world;
            const mia = await world.visitor("mia");
            await mia.open(`${demo.engine}/sign-in`);
            await mia.page.getByRole("link", { name: "Continue with Partner account" }).click();
            await signInThere(mia, "u-7", provider.issuer);
            await mia.reaches(`${demo.engine}/`);
            await mia.open(`${demo.engine}/account`);
            assert.equal(await mia.page.getByTestId("username").textContent(), "mia");
            assert.equal(await mia.page.getByTestId("display-name").textContent(), "Mia Berg");
            const shown = JSON.parse(await demo.hallpass("user", "show", "mia", "--json"));
            assert.deepEqual(shown.groups, ["sales"]);
            assert.equal(shown.email, "mia@partner.com");

            // In another window, signed in there already: through without a form, and the same person.
            await mia.page.context().clearCookies({ name: /hallpass/ });
            await mia.open(`${demo.engine}/sign-in`);
            const { forms } = await mia.during(async () => {
                await mia.page.getByRole("link", { name: "Continue with Partner account" }).click();
                await mia.reaches(`${demo.engine}/`);
            });
            assert.equal(forms, 0);
            assert.equal(JSON.parse(await demo.hallpass("user", "show", "mia", "--json")).id, shown.id);
            const asked = (path) => provider.asked.filter((line) => line === path).length;
            assert.equal(asked("GET /.well-known/openid-configuration"), 1);
            assert.equal(asked("GET /jwks"), 1);
            assert.equal(asked("POST /token"), 2);
        },
        { provider: { algorithm, authentication } },
    );
}

upstreamJourney("whoever is turned away there comes back to a page that says so", async (world) => {
    const { demo, provider } = world;
    const mia = await world.visitor("mia");
    await mia.open(`${demo.engine}/upstream/oidc/start/partner`);
    await mia.reaches(new RegExp(`^${provider.issuer}/interaction/`));
    await mia.page.getByRole("button", { name: "Cancel" }).click();
    await mia.reaches(new RegExp(`^${demo.engine}/upstream/oidc/callback/partner`));
    assert.match(await mia.page.getByRole("heading", { level: 1 }).textContent(), /could not see that you signed in/);
    await mia.page.getByRole("link", { name: "Start again" }).click();
    await signInThere(mia, "u-7", provider.issuer);
    await mia.reaches(`${demo.engine}/`);
    const reasons = await demo.hallpass("audit", "--event", "sign_in_refused");
    assert.match(reasons, /upstream_denied/);
});

for (const javaScriptEnabled of [true, false]) {
    const options = { configure: () => 'domains = ["partner.com"]' };
    upstreamJourney(`an address leads to its provider, ${javaScriptEnabled ? "with" : "without"} scripts`, async (world) => {
        const { demo, provider } = world;
        const mia = await world.visitor("mia", { javaScriptEnabled });
        await mia.open(`${demo.engine}/sign-in`);
        await mia.page.getByLabel("Mail address or username").fill("Mia@Partner.com");
        await mia.page.getByTestId("continue").click();
        await signInThere(mia, "u-7", provider.issuer);
        await mia.reaches(`${demo.engine}/`);
        // And somebody with a password here types both, one after the other.
        const ana = await world.visitor("ana", { javaScriptEnabled });
        await ana.open(`${demo.engine}/sign-in`);
        await ana.page.getByLabel("Mail address or username").fill("ana");
        await ana.click(ana.page.getByTestId("continue"));
        assert.equal(await ana.page.getByLabel("Username").inputValue(), "ana");
        await ana.signIn("ana");
        await ana.reaches(`${demo.engine}/`);
    }, options);
}

upstreamJourney("an account elsewhere is connected to a person here, and disconnected again", async (world) => {
    const { demo, provider } = world;
    const ana = await world.visitor("ana");
    await ana.open(`${demo.engine}/sign-in`);
    await ana.signIn("ana");
    await ana.open(`${demo.engine}/account`);
    await ana.page.getByTestId("link").click();
    await signInThere(ana, "u-9", provider.issuer);
    await ana.reaches(`${demo.engine}/account?done=linked`);
    assert.equal(await ana.page.getByTestId("linked").count(), 1);
    const other = await world.visitor("ana elsewhere");
    await other.open(`${demo.engine}/upstream/oidc/start/partner`);
    await signInThere(other, "u-9", provider.issuer);
    await other.reaches(`${demo.engine}/`);
    await other.open(`${demo.engine}/account`);
    assert.equal(await other.page.getByTestId("username").textContent(), "ana");
    await ana.click(ana.page.getByTestId("unlink"));
    await ana.reaches(`${demo.engine}/account?done=unlinked`);
});

for (const scheme of ["light", "dark"]) {
    const several = (issuer, secret) => `
        domains = ["partner.com"]
        [[upstream.oidc]]
        name = "google"
        label = "Google"
        issuer = "https://accounts.google.com"
        client_id = "x"
        client_secret = { file = "${secret}" }
        [[upstream.oidc]]
        name = "entra"
        label = "your work or school account at Company & Daughters"
        entra_tenants = ["11111111-0000-0000-0000-000000000000"]
        client_id = "x"
        client_secret = { file = "${secret}" }
    `;
    upstreamJourney(
        `several ways to sign in can be read and used, ${scheme}`,
        async (world) => {
            const { demo, provider } = world;
            const ana = await world.visitor("ana", { colorScheme: scheme, reducedMotion: "reduce" });
            await ana.open(`${demo.engine}/sign-in?app=wiki`);
            await inspect(ana, "sign-in-several", scheme);
            await ana.open(`${demo.engine}/sign-in?app=wiki&local=1`);
            await inspect(ana, "sign-in-several-local", scheme);
            await ana.signIn("ana");
            await ana.open(`${demo.engine}/account`);
            await inspect(ana, "account-upstreams", scheme);
            await provider.stop();
            provider.stop = async () => {};
            await ana.open(`${demo.engine}/upstream/oidc/start/partner`);
            await inspect(ana, "upstream-away", scheme);
            assert.match(await ana.page.getByRole("heading", { level: 1 }).textContent(), /Not available/);
            await ana.open(`${demo.engine}/upstream/oidc/callback/partner?code=x&state=y`);
            await inspect(ana, "upstream-refused", scheme);
        },
        { configure: several },
    );
}
