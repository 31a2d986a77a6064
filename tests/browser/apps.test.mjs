// The person's own start page, in a real browser: each of its links leads into an app, signed in, by one click and without a form, whichever mechanism
// the app uses: the home zone's pass, a handoff to another root domain, a bound zone, OpenID Connect.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { eventually, journey } from "./harness.mjs";

const CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/** A client that begins a sign-in where it is told to, if it is by its own issuer, and notes what comes of it; it stops with the journey. */
async function startClient({ demo, finally: atTheEnd }) {
    const client = { answers: [] };
    const server = createServer((request, response) => {
        const { pathname, searchParams } = new URL(request.url, "http://client");
        if (pathname === "/begin" && searchParams.get("iss") === demo.engine) {
            const query = new URLSearchParams({
                client_id: "wiki",
                redirect_uri: `${client.origin}/callback`,
                response_type: "code",
                scope: "openid",
                state: searchParams.get("target_link_uri"),
                code_challenge: CHALLENGE,
                code_challenge_method: "S256",
            });
            return response.writeHead(303, { location: `${demo.engine}/oauth/authorize?${query}` }).end();
        }
        if (pathname === "/callback") client.answers.push(Object.fromEntries(searchParams));
        const status = pathname === "/callback" ? 200 : 204;
        return response.writeHead(status, { "content-type": "text/html" }).end("<!doctype html><title>x</title><h1>Arrived</h1>");
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    atTheEnd(async () => {
        server.closeAllConnections();
        server.close();
        await once(server, "close");
    });
    client.origin = `http://wiki.company9.localhost:${server.address().port}`;
    await demo.apply(`
        [apps.wiki]
        name = "Company wiki"
        access = "everyone"
        redirect_uris = ["${client.origin}/callback"]
        initiate_login_uri = "${client.origin}/begin"
    `);
    return client;
}

journey("from the start page one click leads into every app, signed in", async (world) => {
    const { demo, visitor } = world;
    const client = await startClient(world);
    const ana = await visitor("ana");
    await ana.open(`${demo.engine}/apps`);
    await ana.signIn("ana");
    const wiki = () => ana.page.getByRole("link", { name: "Company wiki" });
    await eventually("the engine knows the client", 5_000, async () => {
        await ana.open(`${demo.engine}/apps`);
        return (await wiki().count()) === 1;
    });
    for (const [key, address] of Object.entries(demo.apps)) {
        await ana.open(`${demo.engine}/apps`);
        const link = ana.page.locator(`nav a[href="/sign-in?app=${key}"]`);
        assert.equal(await link.count(), 1, `${key} is on the page`);
        const way = await ana.during(() => ana.click(link));
        assert.equal(new URL(ana.page.url()).origin, new URL(address).origin, key);
        assert.equal(await ana.who(), "ana", key);
        assert.deepEqual([way.navigations, way.forms], [1, 0], `one click, no form:\n${way.path.join("\n")}`);
    }
    await ana.open(`${demo.engine}/apps`);
    const way = await ana.during(() => ana.click(wiki()));
    assert.equal(new URL(ana.page.url()).origin, client.origin);
    assert.deepEqual([way.navigations, way.forms], [1, 0], `one click, no form:\n${way.path.join("\n")}`);
    const [{ code, iss }] = client.answers;
    assert.deepEqual([client.answers.length, code.slice(0, 6), iss], [1, "hp_ac_", demo.engine]);
    const begun = way.path.find((step) => step.includes("/begin"));
    assert.ok(!begun.includes("ana") && !begun.includes("login_hint"), `it is not told who comes: ${begun}`);
});
