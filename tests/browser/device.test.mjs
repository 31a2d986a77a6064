// The device grant and programs on one's own computer, where people meet them: the page that asks for a code, the one that asks whether, and what
// arrives in the end. By axe, narrow and wide, by keyboard alone, without JavaScript.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { text } from "node:stream/consumers";
import { eventually, journey } from "./harness.mjs";
import { focused, inspect, tabTo } from "./inspect.mjs";

const CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const GRANT = "urn:ietf:params:oauth:grant-type:device_code";

/** What a program without a browser asks the engine. */
async function ask(demo, path, fields) {
    const { host, port } = new URL(demo.engine);
    const headers = { host, "content-type": "application/x-www-form-urlencoded" };
    const asking = request({ host: "127.0.0.1", port, method: "POST", path, headers, agent: false }).end(`${new URLSearchParams(fields)}`);
    const [response] = await once(asking, "response");
    return { status: response.statusCode, body: JSON.parse(await text(response)) };
}

/** Registers a command line, and a television of somebody else. */
async function register(demo, name = "Warehouse tools") {
    await demo.apply(`
        [apps.tools]
        name = ${JSON.stringify(name)}
        access = "everyone"
        client = "native"
        device = true
        redirect_uris = ["http://127.0.0.1/callback"]
        [apps.television]
        name = "Hall of fame"
        access = "everyone"
        client = "native"
        device = true
        third_party = true
    `);
}

/** A device that waits with a code. */
async function begin(demo, client, scope = "openid profile") {
    let begun;
    await eventually(`the engine knows ${client}`, 5_000, async () => {
        begun = await ask(demo, "/oauth/device_authorization", { client_id: client, scope });
        return begun.status === 200;
    });
    return begun.body;
}

const poll = (demo, client, { device_code }) => ask(demo, "/oauth/token", { grant_type: GRANT, client_id: client, device_code });

for (const scheme of ["light", "dark"]) {
    journey(`every page for devices can be read and used, ${scheme}`, async ({ demo, signedIn }) => {
        await register(demo);
        const ana = await signedIn("ana", { colorScheme: scheme, reducedMotion: "reduce" });
        const tools = await begin(demo, "tools");
        await ana.open(tools.verification_uri);
        await inspect(ana, "device-enter", scheme);
        await ana.page.getByLabel("Code").fill("BBBB-BBBB");
        await ana.click(ana.page.getByTestId("look"));
        await inspect(ana, "device-wrong", scheme);
        await ana.page.getByLabel("Code").fill(tools.user_code.toLowerCase().replace("-", " "));
        await ana.click(ana.page.getByTestId("look"));
        await inspect(ana, "device-ask", scheme);
        assert.equal((await poll(demo, "tools", tools)).body.error, "authorization_pending");
        await ana.click(ana.page.getByTestId("deny"));
        await inspect(ana, "device-denied", scheme);

        const television = await begin(demo, "television", "openid profile email");
        await ana.open(television.verification_uri_complete);
        await inspect(ana, "device-complete", scheme);
        await ana.click(ana.page.getByTestId("look"));
        assert.equal(await ana.page.getByTestId("code").innerText(), television.user_code);
        await inspect(ana, "device-ask-others", scheme);
        await ana.click(ana.page.getByTestId("allow"));
        await inspect(ana, "device-allowed", scheme);
        const { body } = await poll(demo, "television", television);
        assert.ok(body.access_token && body.refresh_token, JSON.stringify(body));
        await ana.open(`${demo.engine}/account`);
        assert.equal(await ana.page.getByTestId("allowed-app").getByRole("heading").innerText(), "Hall of fame");
    });
}

journey("a device is allowed by keyboard alone, from the sign-in on", async ({ demo, visitor }) => {
    await register(demo);
    const begun = await begin(demo, "tools");
    const ana = await visitor("ana");
    const { page } = await ana.open(begun.verification_uri_complete);
    await focused(page.getByLabel("Username"));
    await page.keyboard.type("ana");
    await page.keyboard.press("Tab");
    await page.keyboard.type(demo.person("ana").password);
    await Promise.all([ana.arrival(), page.keyboard.press("Enter")]);
    assert.equal(page.url(), begun.verification_uri_complete);
    const field = page.getByLabel("Code");
    await focused(field);
    assert.equal(await field.inputValue(), begun.user_code);
    await Promise.all([ana.arrival(), page.keyboard.press("Enter")]);
    await tabTo(page, "allow");
    await Promise.all([ana.arrival(), page.keyboard.press("Enter")]);
    assert.ok(await page.getByTestId("device-allowed").isVisible());
    assert.equal((await poll(demo, "tools", begun)).status, 200);
});

journey("a device is allowed without JavaScript on a narrow screen, and its picture can be looked at", async ({ demo, visitor }) => {
    await register(demo, "Überlandwerksgesellschaftsabrechnungsportal <script>alert(1)</script> & Söhne");
    const begun = await begin(demo, "tools");
    const ana = await visitor("ana", { javaScriptEnabled: false, viewport: { width: 360, height: 740 } });
    await ana.open(begun.verification_uri);
    await ana.signIn("ana");
    await ana.page.getByLabel("Code").fill(begun.user_code);
    await ana.click(ana.page.getByTestId("look"));
    assert.ok((await ana.page.locator("main").innerText()).includes("<script>"), "shown as what it is");
    await ana.click(ana.page.getByTestId("allow"));
    assert.ok(await ana.page.getByTestId("device-allowed").isVisible());
    assert.equal((await poll(demo, "tools", begun)).status, 200);
    const { response } = await ana.open(`${demo.engine}/device/qr?user_code=${begun.user_code}`);
    assert.equal(response.headers()["content-type"], "image/svg+xml");
    assert.deepEqual(await ana.page.locator("svg").evaluateAll((pictures) => pictures.length), 1);
});

for (const browser of ["chromium", "firefox"]) {
    journey("a program on one's own computer is asked about each time, and gets its code", async ({ demo, visitor, finally: atTheEnd }) => {
        await register(demo);
        const received = [];
        const program = createServer((asked, response) => {
            const { pathname, searchParams } = new URL(asked.url, "http://program");
            if (pathname === "/callback") received.push(Object.fromEntries(searchParams));
            const status = pathname === "/callback" ? 200 : 204;
            response.writeHead(status, { "content-type": "text/html" }).end(status === 200 ? "<!doctype html><title>x</title><h1>Done</h1>" : "");
        }).listen(0, "127.0.0.1");
        await once(program, "listening");
        atTheEnd(async () => {
            program.closeAllConnections();
            program.close();
            await once(program, "close");
        });
        const callback = `http://127.0.0.1:${program.address().port}/callback`;
        const query = { client_id: "tools", redirect_uri: callback, response_type: "code", scope: "openid profile", state: "s" };
        const url = `${demo.engine}/oauth/authorize?${new URLSearchParams({ ...query, code_challenge: CHALLENGE, code_challenge_method: "S256" })}`;
        const ana = await visitor("ana", { reducedMotion: "reduce" });
        await eventually("the engine knows the client", 5_000, async () => (await ana.open(url)).status === 200);
        await ana.signIn("ana");
        assert.ok(await ana.page.getByTestId("any-program").isVisible(), "the sign-in leads to the question");
        if (browser === "chromium") await inspect(ana, "consent-program", "light");
        for (const round of [1, 2]) {
            if (round > 1) await ana.open(url);
            await ana.page.getByTestId("allow").click();
            await ana.reaches(new RegExp(`^${callback}\\?`));
            assert.equal(received.length, round);
            assert.match(received.at(-1).code, /^hp_ac_/);
        }
        await ana.open(`${url}&prompt=none`);
        assert.equal(received.at(-1).error, "consent_required");
    }, { browser });
}
