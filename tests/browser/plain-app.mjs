// An app without an SDK, in a few lines: shows who is signed in, as introspection says, sends everybody else to sign in, and takes note of
// sessions that end. It can be down.

import { once } from "node:events";
import { createServer, request } from "node:http";
import { text } from "node:stream/consumers";
import { eventually } from "./eventually.mjs";

const PASS = "__Secure-hallpass-pass";

/** Starts one on a free port. It has to be registered, and stops with the journey. */
export async function startApp({ demo, finally: atTheEnd }, key, host) {
    const app = { key, told: [] };
    const server = createServer(async (asked, response) => {
        if (asked.url === "/backchannel") {
            const token = new URLSearchParams(await text(asked)).get("logout_token");
            app.told.push(JSON.parse(Buffer.from(token.split(".")[1], "base64url")).sid);
            return response.writeHead(204).end();
        }
        if (asked.url === "/favicon.ico") return response.writeHead(204).end();
        const pass = asked.headers.cookie?.split("; ").find((cookie) => cookie.startsWith(`${PASS}=`));
        const { active, username } = pass ? await introspect(demo.engine, app, pass.slice(PASS.length + 1)) : {};
        if (active) return response.writeHead(200, { "content-type": "text/html" }).end(page(key, username));
        const query = new URLSearchParams({ app: key, return_to: app.origin + asked.url });
        response.writeHead(303, { location: `${demo.engine}/sign-in?${query}` }).end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address();
    app.down = async () => {
        server.closeAllConnections();
        if (!server.listening) return;
        server.close();
        await once(server, "close");
    };
    app.up = () => once(server.listen(port, "127.0.0.1"), "listening");
    /** By these lines of TOML; returns when the running engine knows it. */
    app.register = async (lines) => {
        await demo.apply(lines);
        app.secret = await demo.secretOf(key);
        await eventually(`the engine knows ${key}`, 5_000, async () => (await introspect(demo.engine, app, "nobody's")).active === false);
    };
    app.backchannel = `http://127.0.0.1:${port}/backchannel`;
    app.origin = `http://${host}:${port}`;
    atTheEnd(app.down);
    return app;
}

async function introspect(engine, { key, secret }, token) {
    const { host, port } = new URL(engine);
    const headers = { host, "content-type": "application/json" };
    const options = { host: "127.0.0.1", port, method: "POST", path: "/introspect", headers, auth: `${key}:${secret}`, agent: false };
    const asking = request(options).end(JSON.stringify({ token }));
    const [response] = await once(asking, "response");
    return JSON.parse(await text(response));
}

function page(key, username) {
    return `<!doctype html><html lang="en"><title>${key}</title><h1>${key}</h1><p data-testid="who">${username}</p>`;
}
