// A client of somebody else, in a real browser: who goes on, what it may know, and how the answer gets there although Chromium holds a form's policy
// against every redirect that follows (advisory P1). With and without JavaScript.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { eventually, journey } from "./harness.mjs";
import { inspect } from "./inspect.mjs";

const CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/** A client that notes what it is sent, and sends people on to another origin of its own; it stops with the journey. */
async function startClient({ demo, finally: atTheEnd }, name = "Holiday planner") {
    const client = { answers: [] };
    const server = createServer(async (request, response) => {
        const { pathname, searchParams } = new URL(request.url, "http://client");
        if (pathname !== "/callback") {
            const status = pathname === "/arrived" ? 200 : 204;
            return response.writeHead(status, { "content-type": "text/html" }).end("<!doctype html><title>x</title><h1>Arrived</h1>");
        }
        const fields = request.method === "POST" ? new URLSearchParams(await text(request)) : searchParams;
        client.answers.push({ method: request.method, ...Object.fromEntries(fields) });
        const there = request.method === "POST" ? client.origin : client.elsewhere;
        response.writeHead(303, { location: `${there}/arrived` }).end();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    atTheEnd(async () => {
        server.closeAllConnections();
        server.close();
        await once(server, "close");
    });
    const { port } = server.address();
    client.origin = `http://planner.company9.localhost:${port}`;
    client.elsewhere = `http://home.company8.localhost:${port}`;
    await demo.apply(`
        [apps.planner]
        name = ${JSON.stringify(name)}
        access = "everyone"
        third_party = true
        redirect_uris = ["${client.origin}/callback"]
    `);
    client.url = (changes = {}) => {
        const usual = {
            client_id: "planner",
            redirect_uri: `${client.origin}/callback`,
            response_type: "code",
            scope: "openid profile email",
            state: "s",
            code_challenge: CHALLENGE,
            code_challenge_method: "S256",
        };
        return `${demo.engine}/oauth/authorize?${new URLSearchParams({ ...usual, ...changes })}`;
    };
    client.last = () => client.answers.at(-1);
    return client;
}

/** Until the running engine has heard of the client, its page is an error. */
async function known(visitor, url) {
    await eventually("the engine knows the client", 5_000, async () => (await visitor.open(url)).status === 200);
}

for (const scheme of ["light", "dark"]) {
    journey(`every question of the authorization endpoint can be read and answered, ${scheme}`, async (world) => {
        const client = await startClient(world);
        const ana = await world.signedIn("ana", { colorScheme: scheme, reducedMotion: "reduce" });
        await known(ana, client.url({ prompt: "select_account" }));
        await inspect(ana, "select-account", scheme);
        await ana.click(ana.page.getByTestId("another"));
        await inspect(ana, "select-account-another", scheme);
        await ana.open(client.url({ prompt: "select_account" }));
        await ana.page.getByTestId("continue-as").click();
        await ana.reaches(/\/oauth\/continue\?/);
        await inspect(ana, "consent", scheme);
        await ana.page.getByTestId("allow").click();
        await ana.reaches(`${client.elsewhere}/arrived`);
        assert.match(client.last().code, /^hp_ac_/);

        await ana.open(`${world.demo.engine}/account`);
        await inspect(ana, "account-with-apps", scheme);
        await ana.click(ana.page.getByTestId("revoke-app"));
        await inspect(ana, "account-app-taken-back", scheme);
        await ana.open(client.url({ prompt: "login" }));
        await inspect(ana, "sign-in-again", scheme);
        await ana.open(client.url({ prompt: "create", login_hint: "ana" }));
        await inspect(ana, "sign-in-no-sign-up", scheme);

        await ana.open(client.url());
        await ana.page.getByTestId("deny").click();
        await ana.reaches(`${client.elsewhere}/arrived`);
        assert.equal(client.last().error, "access_denied");
    });
}

journey("a form posts the answer, by script and without", async (world) => {
    const client = await startClient(world);
    for (const javaScriptEnabled of [true, false]) {
        const ana = await world.signedIn("ana", { javaScriptEnabled });
        const url = client.url({ response_mode: "form_post" });
        await known(ana, url);
        if (javaScriptEnabled) {
            await ana.page.getByTestId("allow").click();
        } else {
            await ana.page.getByRole("button", { name: "Go on" }).click();
        }
        await ana.reaches(`${client.origin}/arrived`);
        const { method, code, state } = client.last();
        assert.deepEqual([method, code.slice(0, 6), state], ["POST", "hp_ac_", "s"]);
    }
});

journey("a client's own form may bring the request", async (world) => {
    const client = await startClient(world);
    const ana = await world.signedIn("ana");
    await known(ana, client.url());
    const { origin, pathname, searchParams } = new URL(client.url());
    await ana.open(`${client.elsewhere}/arrived`);
    await ana.page.evaluate(
        ([action, fields]) => {
            const form = document.body.appendChild(Object.assign(document.createElement("form"), { method: "post", action }));
            for (const [name, value] of fields) form.append(Object.assign(document.createElement("input"), { name, value }));
            form.submit();
        },
        [origin + pathname, [...searchParams]],
    );
    await ana.reaches(/\/oauth\/authorize\?/);
    assert.equal(await ana.page.getByTestId("signed-in-as").innerText(), "Ana Costa", "the cookies have come with the redirect");
});

journey("a long and hostile name stays within its page", async (world) => {
    const client = await startClient(world, "Überlandwerksgesellschaftsabrechnungsportal <script>alert(1)</script> & Söhne");
    const ana = await world.signedIn("ana", { reducedMotion: "reduce" });
    await known(ana, client.url());
    await inspect(ana, "consent-hostile", "light");
    await ana.open(client.url({ prompt: "select_account" }));
    await inspect(ana, "select-account-hostile", "light");
});
