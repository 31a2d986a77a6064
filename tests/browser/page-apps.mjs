// Pages with scripts and no server of their own: two apps at one origin, each a browser client (docs/oidc.md).

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { eventually } from "./harness.mjs";

const VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/** The name of an app's refresh cookie. */
export const refreshCookie = (app) =>
    `__Host-Http-hallpass-rt-${createHash("sha256").update(app).digest("base64url").slice(0, 8)}`;

/** Serves an empty page for every path at `host`, registers these apps there, and waits until the engine knows them. */
export async function startPages({ demo, finally: atTheEnd }, host, zone, keys) {
    const server = createServer((request, response) => {
        const status = request.url === "/favicon.ico" ? 204 : 200;
        response.writeHead(status, { "content-type": "text/html" }).end(status === 200 ? "<!doctype html><title>app</title><h1>App</h1>" : "");
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    atTheEnd(async () => {
        server.closeAllConnections();
        server.close();
        await once(server, "close");
    });
    const origin = `http://${host}:${server.address().port}`;
    const lines = keys.map((key) => `
        [apps.${key}]
        client = "browser"
        access = "everyone"
        zone = "${zone}"
        origins = ["${origin}"]
        redirect_uris = ["${origin}/callback"]
    `);
    await demo.apply(lines.join(""));
    return new Pages(demo, origin);
}

class Pages {
    constructor(demo, origin) {
        this.demo = demo;
        this.origin = origin;
    }

    /** What the app's page asks the engine, and its answer. */
    async ask(visitor, path, fields) {
        return visitor.page.evaluate(
            async ([url, body]) => {
                const answer = await fetch(url, {
                    method: "POST",
                    credentials: "include",
                    headers: { "content-type": "application/json" },
                    body: JSON.stringify(body),
                });
                const text = await answer.text();
                return { status: answer.status, body: text ? JSON.parse(text) : null };
            },
            [this.demo.engine + path, fields],
        );
    }

    /** Brings the person, who is signed in, back with a code, and exchanges it. */
    async signIn(visitor, client) {
        const query = new URLSearchParams({
            client_id: client,
            redirect_uri: `${this.origin}/callback`,
            response_type: "code",
            scope: "openid profile",
            state: client,
            code_challenge: CHALLENGE,
            code_challenge_method: "S256",
        });
        await eventually(`the engine knows ${client}`, 5_000, async () => {
            await visitor.open(`${this.demo.engine}/oauth/authorize?${query}`);
            // Asked each time: any program of this computer could listen where the page is.
            return (await visitor.page.getByTestId("any-program").count()) === 1;
        });
        await visitor.page.getByTestId("allow").click();
        await visitor.reaches(/\/callback\?code=/);
        const code = new URL(visitor.page.url()).searchParams.get("code");
        const answer = await this.ask(visitor, "/oauth/token", {
            grant_type: "authorization_code", client_id: client, code, redirect_uri: `${this.origin}/callback`, code_verifier: VERIFIER,
        });
        assert.equal(answer.status, 200, JSON.stringify(answer));
        assert.ok(answer.body.access_token && !JSON.stringify(answer.body).includes("hp_rt_"), "no refresh token in the answer");
        return answer.body;
    }

    refresh = (visitor, client) => this.ask(visitor, "/oauth/token", { grant_type: "refresh_token", client_id: client });

    signOut = (visitor, client) => this.ask(visitor, "/oauth/revoke", { client_id: client });
}
