// `openid-client` (npm) inside a page: a client that is nothing but scripts, asking the engine across origins. With the refresh token in the cookie
// that no script can read, and with the library holding it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { journey } from "../browser/harness.mjs";

const IMPORTS = {
    "openid-client": "/lib/openid-client/build/index.js",
    oauth4webapi: "/lib/oauth4webapi/build/index.js",
    "jose/errors": "/lib/jose/dist/webapi/util/errors.js",
    "jose/jwe/compact/decrypt": "/lib/jose/dist/webapi/jwe/compact/decrypt.js",
};
const PAGE = `<!doctype html><html lang="en"><title>Orders</title><h1>Orders</h1><script type="importmap">${JSON.stringify({ imports: IMPORTS })}</script>`;

/**
 * Registers and serves a page that can import the library, with these lines of its declaration. It stops with the journey. `domain`: a root domain that is
 * not the engine's, and gets a zone.
 */
async function servePage({ demo, finally: atTheEnd }, { lines = "", domain }) {
    const server = createServer(async (request, response) => {
        const { pathname } = new URL(request.url, "http://page");
        if (pathname === "/favicon.ico") return response.writeHead(204).end();
        if (!pathname.startsWith("/lib/")) return response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
        const script = await readFile(new URL(`./node_modules/${pathname.slice("/lib/".length)}`, import.meta.url));
        response.writeHead(200, { "content-type": "text/javascript" }).end(script);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    atTheEnd(async () => {
        server.closeAllConnections();
        server.close();
        await once(server, "close");
    });
    const origin = `http://orders.${domain ?? "company.localhost"}:${server.address().port}`;
    const zone = `[zones.elsewhere]\ncookie_domain = "${domain}"\nalias = "http://sso.${domain}:${new URL(demo.engine).port}"`;
    await demo.apply(`
        ${domain ? zone : ""}
        [apps.orders]
        ${domain ? 'zone = "elsewhere"' : ""}
        name = "Orders"
        client = "browser"
        access = "everyone"
        origins = ["${origin}"]
        redirect_uris = ["${origin}/callback"]
        ${lines}
    `);
    return origin;
}

/** In the page: asks the provider for its documents, and prepares a sign-in. Where it begins. */
async function begin(issuer) {
    const oidc = await import("openid-client");
    const configuration = await oidc.discovery(new URL(issuer), "orders", undefined, oidc.None(), { execute: [oidc.allowInsecureRequests] });
    const [pkceCodeVerifier, expectedState] = [oidc.randomPKCECodeVerifier(), oidc.randomState()];
    sessionStorage.setItem("begun", JSON.stringify({ pkceCodeVerifier, expectedState }));
    return oidc.buildAuthorizationUrl(configuration, {
        redirect_uri: `${origin}/callback`,
        scope: "openid profile",
        state: expectedState,
        code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
        code_challenge_method: "S256",
    }).href;
}

/** In the page that the answer came to: tokens, who it is, and a refresh, by the library or by the cookie. */
async function finish([issuer, cookie]) {
    const oidc = await import("openid-client");
    const options = { execute: [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks] };
    // With cookies to the token endpoint only: what everybody may read is answered with `*`, which browsers do not take together with cookies.
    const credentials = ({ method }) => (method === "POST" ? "include" : "omit");
    if (cookie) options[oidc.customFetch] = (url, init) => fetch(url, { ...init, credentials: credentials(init) });
    const configuration = await oidc.discovery(new URL(issuer), "orders", undefined, oidc.None(), options);
    const tokens = await oidc.authorizationCodeGrant(configuration, new URL(location.href), JSON.parse(sessionStorage.getItem("begun")));
    const { sub } = tokens.claims();
    const person = await oidc.fetchUserInfo(configuration, tokens.access_token, sub);
    const ask = (address, body) => fetch(address, {
        method: "POST", credentials: "include", headers: { "content-type": "application/json" }, body: JSON.stringify({ client_id: "orders", ...body }),
    });
    const { token_endpoint, revocation_endpoint } = configuration.serverMetadata();
    const refresh = async () => (await ask(token_endpoint, { grant_type: "refresh_token" })).json();
    const next = cookie ? await refresh() : await oidc.refreshTokenGrant(configuration, tokens.refresh_token);
    if (cookie) await ask(revocation_endpoint, {});
    else await oidc.tokenRevocation(configuration, next.refresh_token);
    const late = cookie ? (await refresh()).error : await oidc.refreshTokenGrant(configuration, next.refresh_token).catch(({ error }) => error);
    return {
        username: person.preferred_username,
        held: typeof tokens.refresh_token,
        refreshed: next.access_token !== undefined && next.access_token !== tokens.access_token,
        late,
    };
}

/** Signs ana in at that page. What came of it; `attributes` are those of the first cookie that a token came in. */
async function goThrough(world, options, cookie) {
    const origin = await servePage(world, options);
    const ana = await world.signedIn("ana");
    // What is asked with a token that is over is refused, and browsers report each refusal.
    ana.tolerate(/status of 40[01]/);
    await ana.open(origin);
    const authorize = await ana.page.evaluate(begin, world.demo.engine);
    // Not by the function above: the page may be gone before its promise has been told.
    await ana.page.evaluate((address) => { setTimeout(() => location.assign(address)); }, authorize);
    // Any program of this computer could listen where the page is.
    await ana.reaches(/\/oauth\/authorize/);
    await ana.page.getByTestId("allow").click();
    await ana.reaches(/\/callback\?code=/);
    const answer = ana.page.waitForResponse((response) => response.url().endsWith("/oauth/token") && response.request().method() === "POST");
    const came = await ana.page.evaluate(finish, [world.demo.engine, cookie]);
    const [, ...attributes] = ((await (await answer).headerValue("set-cookie")) ?? "").split("; ");
    return { ...came, attributes: attributes.filter((name) => !/^(Path|Max-Age)=/.test(name)).sort() };
}

const KEPT = { username: "ana", held: "undefined", refreshed: true, late: "invalid_grant", attributes: ["HttpOnly", "SameSite=Lax", "Secure"] };
const PARTITIONED = { ...KEPT, attributes: ["HttpOnly", "Partitioned", "SameSite=None", "Secure"] };

for (const browser of ["chromium", "firefox"]) {
    journey("a page of scripts: the refresh token is in a cookie that they cannot read", async (world) => {
        assert.deepEqual(await goThrough(world, {}, true), KEPT);
    }, { browser });

    journey("a page of scripts on another site: the cookie is partitioned", async (world) => {
        assert.deepEqual(await goThrough(world, { domain: "company9.localhost" }, true), PARTITIONED);
    }, { browser });
}

journey("a page of scripts: the library holds the refresh token", async (world) => {
    assert.deepEqual(await goThrough(world, { lines: "refresh_cookie = false" }, false), { ...KEPT, held: "string", attributes: [] });
});
