// An app that knows nothing of us, behind a real gateway and the real engine, in a real browser: it sees who is there, and nobody gets past.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { text } from "node:stream/consumers";
import { startServe } from "./engine.mjs";
import { startGateway } from "./gateways.mjs";
import { eventually, journey } from "./harness.mjs";

const PASS = "__Secure-hallpass-pass";
/** `./test` has nginx; whoever changes the guide tries the others, too: HALLPASS_GATEWAYS=nginx,caddy,haproxy. */
const gateways = (process.env.HALLPASS_GATEWAYS ?? "nginx").split(",");

/** An app that believes its headers, and notes what it was asked. */
async function startApp({ finally: atTheEnd }) {
    const app = { asked: [] };
    const server = createServer(async (asked, response) => {
        if (asked.url === "/favicon.ico") return response.writeHead(204).end();
        app.asked.push({ method: asked.method, url: asked.url, headers: asked.headers, body: await text(asked) });
        const who = asked.headers["remote-user"];
        const body = `<!doctype html><html lang="en"><title>Legacy</title><h1>Legacy</h1><p data-testid="who">${who}</p>`;
        response.writeHead(200, { "content-type": "text/html", "set-cookie": "own=1; Path=/" }).end(body);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    atTheEnd(async () => {
        server.closeAllConnections();
        server.close();
        await once(server, "close");
    });
    app.port = server.address().port;
    app.last = () => app.asked.at(-1);
    return app;
}

/** A page of a sibling host, with a form that posts to the app. */
async function startSibling({ finally: atTheEnd }, target) {
    const server = createServer((_, response) => {
        const form = `<form method="post" action="${target}/pay"><input name="to" value="mallory"><button>Win</button></form>`;
        response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html><title>x</title>${form}`);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    atTheEnd(async () => {
        server.closeAllConnections();
        server.close();
        await once(server, "close");
    });
    return `http://evil.company.localhost:${server.address().port}/`;
}

/** What somebody sends who is no browser. Several values of a header are several lines. */
async function sent(origin, headers, method = "GET") {
    const { host, port } = new URL(origin);
    const asking = request({ host: "127.0.0.1", port, method, path: "/", headers: { host, ...headers }, agent: false }).end();
    const [response] = await once(asking, "response");
    await text(response);
    return response.statusCode;
}

for (const gateway of gateways) {
    const start = () => startServe({ environment: { HALLPASS_TRUSTED_PROXIES: "127.0.0.1" } });
    journey(`an app behind ${gateway} knows who is there, and nobody gets past`, async (world) => {
        const { demo, visitor } = world;
        const app = await startApp(world);
        const origin = await startGateway(world, gateway, app.port);
        await demo.apply(`
            [apps.legacy]
            name = "Legacy"
            origins = ["${origin}"]
            forward_auth = true
            [apps.legacy.roles]
            clerk = ["canPay"]
            [users.ana]
            roles.legacy = ["clerk"]
        `);
        const ana = await visitor("ana");
        await eventually("the engine knows the app", 5_000, async () => {
            await ana.open(`${origin}/deep/er?x=1&y=%20`);
            return ana.isAskedToSignIn();
        });
        assert.equal(app.asked.length, 0, "a stranger does not get to the app");
        await ana.signIn("ana");
        assert.equal(ana.page.url(), `${origin}/deep/er?x=1&y=%20`, "back at the very address");
        assert.equal(await ana.who(), "ana");
        const said = app.last().headers;
        assert.deepEqual([said["remote-user"], said["remote-groups"], said["hallpass-permissions"]], ["ana", "clerk", "canPay"]);
        assert.deepEqual([said["remote-name"], said["remote-email"] ?? ""], ["Ana Costa", ""]);
        assert.match(said["hallpass-subject"], /^u_/);

        const cookies = await ana.cookies(PASS);
        assert.equal(cookies.length, 1);
        const pass = `${PASS}=${cookies[0].value}`;
        const forged = {
            "Remote-User": "root",
            Remote_User: "root",
            "REMOTE-USER": "root",
            "Remote-Email": "root@company.com",
            Remote_Email: "root@company.com",
            "Hallpass-Permissions": "everything",
            Hallpass_Permissions: "everything",
        };
        assert.equal(await sent(origin, { cookie: pass, ...forged }), 200);
        const { headers } = app.last();
        assert.deepEqual([headers["remote-user"], headers["remote-email"] ?? "", headers["hallpass-permissions"]], ["ana", "", "canPay"]);
        assert.ok(!JSON.stringify(headers).includes("root") && !JSON.stringify(headers).includes("everything"), JSON.stringify(headers));

        const reached = app.asked.length;
        for (const cookie of [undefined, `${PASS}=x`, `${pass}x`, `${pass}; ${pass}`, `${pass}; ${PASS}=x`, [pass, `${PASS}=x`]]) {
            const status = await sent(origin, cookie ? { cookie, ...forged } : forged);
            assert.equal(status, 401, `${cookie}`);
        }
        // The gateway says itself which app it is, whatever a browser says.
        const elsewhere = { "X-Forwarded-Host": "pos.company.localhost", "X-Forwarded-Method": "GET", "X-Forwarded-Proto": "https" };
        assert.equal(await sent(origin, { cookie: pass, ...elsewhere }, "POST"), 403, "a POST is no GET");
        assert.equal(app.asked.length, reached, "none of them got to the app");

        const status = await ana.page.evaluate(async () => (await fetch("/pay", { method: "POST", body: "to=ben" })).status);
        assert.deepEqual([status, app.last().method, app.last().body], [200, "POST", "to=ben"]);
        await ana.open(await startSibling(world, origin));
        await ana.page.getByRole("button", { name: "Win" }).click();
        await ana.reaches(`${origin}/pay`);
        assert.equal(app.asked.filter(({ method }) => method === "POST").length, 1, "what a sibling's page posts does not arrive");

        const ben = await visitor("ben");
        await ben.open(`${origin}/`);
        await ben.signIn("ben");
        await ben.open(`${origin}/`);
        assert.match(await ben.page.locator("body").innerText(), /your account has no access to this application/);
        assert.ok(app.asked.every((asked) => asked.headers["remote-user"] === "ana"), "only ana was ever there");

        await ana.open(`${demo.engine}/`);
        await ana.page.getByTestId("sign-out").click();
        await ana.reaches(/\/sign-out/);
        const before = app.asked.length;
        assert.equal(await sent(origin, { cookie: pass }), 401, "signed out is signed out, whoever keeps the cookie");
        await ana.open(`${origin}/`);
        assert.ok(await ana.isAskedToSignIn());
        await demo.kill();
        assert.ok((await sent(origin, { cookie: pass })) >= 500, "an engine that is away lets nobody in");
        assert.equal(app.asked.length, before);
        await demo.serve();
    }, { start });
}
