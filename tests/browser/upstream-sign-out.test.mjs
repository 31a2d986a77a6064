// Signing out at a provider and here, each because of the other, in a real browser: npm oidc-provider and another Hallpass.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { startServe } from "./engine.mjs";
import { eventually } from "./eventually.mjs";
import { inspect } from "./inspect.mjs";
import { signInThere, upstreamJourney } from "./upstream-journey.mjs";

const PASSWORD = "four quiet words of mia";
const SIGNS_OUT = { configure: () => "sign_out = true" };

/** Somebody who has come in by way of the provider. */
async function comeIn(world, visitor, signIn) {
    await visitor.open(`${world.demo.engine}/upstream/oidc/start/partner`);
    await signIn(visitor);
    await visitor.reaches(`${world.demo.engine}/`);
}

async function signOutHere(world, visitor) {
    await visitor.open(`${world.demo.engine}/sign-out`);
    await visitor.page.getByTestId("sign-out").click();
}

for (const javaScriptEnabled of [true, false]) {
    upstreamJourney(
        `who signs out here signs out at the provider, too, and comes back to the receipt, ${javaScriptEnabled ? "with" : "without"} scripts`,
        async (world) => {
            const { demo, provider } = world;
            const mia = await world.visitor("mia", { javaScriptEnabled });
            await comeIn(world, mia, () => signInThere(mia, "u-7", provider.issuer));
            await signOutHere(world, mia);
            await mia.reaches(new RegExp(`^${provider.issuer}/session/end`));
            // Whatever becomes of that page, here it is over.
            const other = await mia.page.context().newPage();
            await other.goto(`${demo.engine}/account`);
            assert.match(other.url(), /\/sign-in$/);
            await other.close();
            await mia.page.getByRole("button", { name: "Sign out there" }).click();
            await mia.reaches(new RegExp(`^${demo.engine}/sign-out/receipt`));
            // It has told us as well, of a session that was over already.
            await eventually("the engine has answered", 5_000, async () => provider.told.length === 1);
            assert.deepEqual(provider.told, [200]);
            // Next time it asks again who they are.
            await mia.open(`${demo.engine}/upstream/oidc/start/partner`);
            await mia.reaches(new RegExp(`^${provider.issuer}/interaction/`));
        },
        SIGNS_OUT,
    );
}

for (const algorithm of ["RS256", "EdDSA"]) {
    upstreamJourney(
        `who signs out at the provider is signed out here, and nobody else is, by ${algorithm}`,
        async (world) => {
            const { demo, provider } = world;
            const [mia, ben, elsewhere] = [await world.visitor("mia"), await world.visitor("ben"), await world.visitor("mia elsewhere")];
            await comeIn(world, mia, () => signInThere(mia, "u-7", provider.issuer));
            await comeIn(world, elsewhere, () => signInThere(elsewhere, "u-7", provider.issuer));
            await ben.open(`${demo.engine}/sign-in`);
            await ben.signIn("ben");
            await mia.open(`${provider.issuer}/session/end`);
            await mia.page.getByRole("button", { name: "Sign out there" }).click();
            await mia.page.getByRole("heading", { name: "Signed out there" }).waitFor();
            await eventually("the engine has answered", 5_000, async () => provider.told.length === 1);
            assert.deepEqual(provider.told, [200]);
            await mia.open(`${demo.engine}/account`);
            await mia.reaches(`${demo.engine}/sign-in`);
            for (const [visitor, name] of [[elsewhere, "mia"], [ben, "ben"]]) {
                await visitor.open(`${demo.engine}/account`);
                assert.equal(await visitor.page.getByTestId("username").textContent(), name);
            }
            assert.match(await demo.hallpass("audit", "--event", "session_ended"), /upstream_signed_out/);
        },
        { provider: { algorithm } },
    );
}

for (const scheme of ["light", "dark"]) {
    upstreamJourney(`a provider that is away keeps nobody signed in here, and a page says what it means, ${scheme}`, async (world) => {
        const { demo, provider } = world;
        const mia = await world.visitor("mia", { colorScheme: scheme, reducedMotion: "reduce" });
        await comeIn(world, mia, () => signInThere(mia, "u-7", provider.issuer));
        await provider.stop();
        provider.stop = async () => {};
        // Started anew, the engine does not know any more what the provider says about itself.
        await demo.kill();
        await demo.serve();
        await signOutHere(world, mia);
        await mia.reaches(new RegExp(`^${demo.engine}/upstream/oidc/sign-out`));
        assert.match(await mia.page.getByRole("main").textContent(), /You may still be signed in at “Partner account”/);
        await inspect(mia, "upstream-still-signed-in", scheme);
        await mia.page.getByRole("link", { name: "Go on" }).click();
        await mia.reaches(new RegExp(`^${demo.engine}/sign-out/receipt`));
        await mia.open(`${demo.engine}/account`);
        await mia.reaches(`${demo.engine}/sign-in`);
    }, SIGNS_OUT);
}

/** Another Hallpass as the provider. Its logout tokens come by way of a loopback address, the only kind in plain text that it takes. */
async function startHallpass(engine, name) {
    const target = new URL(engine);
    const told = [];
    const relay = createServer((incoming, outgoing) => {
        const options = { host: "127.0.0.1", port: target.port, path: incoming.url, method: incoming.method, headers: { ...incoming.headers, host: target.host } };
        const passed = request(options, (answer) => {
            told.push(answer.statusCode);
            outgoing.writeHead(answer.statusCode);
            answer.pipe(outgoing);
        });
        passed.on("error", () => outgoing.writeHead(502).end());
        incoming.pipe(passed);
    }).listen(0, "127.0.0.1");
    await once(relay, "listening");
    const partner = await startServe({ domain: "partner.localhost" });
    await partner.told(`${PASSWORD}\n`, "user", "add", "mia", "--display-name", "Mia Berg", "--password-stdin", "--permanent");
    await partner.apply(`
        [apps.hallpass]
        name = "Company"
        access = "everyone"
        redirect_uris = ["${engine}/upstream/oidc/callback/${name}"]
        post_logout_redirect_uris = ["${engine}/upstream/oidc/signed-out/${name}"]
        logout_urls = ["http://127.0.0.1:${relay.address().port}/upstream/oidc/backchannel-logout/${name}"]
    `);
    return {
        issuer: partner.engine,
        client: "hallpass",
        secret: await partner.secretOf("hallpass"),
        told,
        partner,
        stop: async () => {
            await partner.stop();
            relay.closeAllConnections();
            relay.close();
        },
    };
}

upstreamJourney(
    "at another Hallpass: out here is out there, without a question, and out there is out here",
    async (world) => {
        const { demo, provider } = world;
        const { partner } = provider;
        const signIn = async (visitor) => {
            await visitor.reaches(new RegExp(`^${partner.engine}/sign-in`));
            await visitor.page.getByLabel("Username").fill("mia");
            await visitor.page.getByLabel("Password", { exact: true }).fill(PASSWORD);
            await visitor.page.getByRole("button", { name: "Sign in" }).click();
        };
        const mia = await world.visitor("mia");
        await comeIn(world, mia, signIn);
        await signOutHere(world, mia);
        await mia.reaches(new RegExp(`^${demo.engine}/sign-out/receipt`));
        await mia.open(`${partner.engine}/account`);
        await mia.reaches(`${partner.engine}/sign-in`);

        await comeIn(world, mia, signIn);
        provider.told.length = 0;
        await mia.open(`${partner.engine}/sign-out`);
        await mia.page.getByTestId("sign-out").click();
        await mia.reaches(new RegExp(`^${partner.engine}/sign-out/receipt`));
        await eventually("the engine has answered", 5_000, async () => provider.told.length === 1);
        assert.deepEqual(provider.told, [200]);
        await mia.open(`${demo.engine}/account`);
        await mia.reaches(`${demo.engine}/sign-in`);
    },
    { ...SIGNS_OUT, startThere: startHallpass },
);
