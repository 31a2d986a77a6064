// A relying party made with `openid-client`, which somebody else wrote and certified: what it checks, it checks by the standard, not by our reading
// of it. Every ID token's signature is verified as well (the library would trust TLS instead, which there is none of here).

import "./localhost.mjs";

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";
import * as oidc from "openid-client";
import { eventually } from "../browser/harness.mjs";

// As the library itself imports it, to verify what the library does not look into.
export const { createRemoteJWKSet, exportJWK, jwtVerify } = await import(createRequire(import.meta.resolve("openid-client")).resolve("jose"));

/** How each kind of client says who it is. */
const METHODS = {
    client_secret_basic: (secret) => oidc.ClientSecretBasic(secret),
    client_secret_post: (secret) => oidc.ClientSecretPost(secret),
    none: () => oidc.None(),
    // The library puts the issuer into `aud`, as one text, without being told.
    private_key_jwt: (_secret, signer) => oidc.PrivateKeyJwt(signer),
};

/** The answer of an endpoint that refuses: its `error`. */
export async function refusal(promise) {
    const error = await promise.then(() => assert.fail("it is refused"), (error) => error);
    const told = error.error ?? error.cause?.error ?? error.cause?.[0]?.parameters?.error;
    if (told) return told;
    // Of an answer with a challenge the library reads the challenge only, and that of Basic (RFC 7617) has no `error`.
    return error.response && !error.response.bodyUsed ? (await error.response.json()).error : error;
}

/** A key to sign assertions with, as the library takes it, and what is declared of it. */
export async function makeSigner() {
    const { privateKey: key, publicKey } = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const kid = "of-this-journey";
    return { key, kid, jwks: JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid }] }) };
}

/**
 * Registers one and starts it on a free port. `lines`: more TOML of its declaration. `host`: where browsers reach it; native programs are on
 * 127.0.0.1. It stops with the journey.
 *
 * `registration`: it registers itself, with this initial access token. `describes`: it describes itself, at an address of its own. `party.push` has it push its requests (PAR), `party.dpop` is the key that its tokens
 * are bound to, `party.resource` the service that they are for.
 *
 * `/sign-in?…` begins a sign-in with these parameters, `/callback` ends it; what came of it, tokens or an error, is the last of `arrivals`.
 */
export async function startParty(world, key, { lines = "", host = `${key}.company9.localhost`, method = "client_secret_basic", alg = "RS256", registration, describes } = {}) {
    const { demo, finally: atTheEnd } = world;
    const party = { key, arrivals: [], told: [] };
    const begun = new Map(); // by `state`, what to check the answer with
    const pages = {
        "/sign-in": async (url) => {
            const verifier = oidc.randomPKCECodeVerifier();
            const [state, nonce] = [oidc.randomState(), oidc.randomNonce()];
            const asked = {
                redirect_uri: `${party.origin}/callback`,
                scope: "openid profile email",
                code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
                code_challenge_method: "S256",
                state,
                nonce,
                ...Object.fromEntries(url.searchParams),
            };
            begun.set(state, {
                pkceCodeVerifier: verifier,
                expectedState: state,
                expectedNonce: nonce,
                idTokenExpected: true,
                ...(asked.max_age && { maxAge: Number(asked.max_age) }),
            });
            const build = party.push ? oidc.buildAuthorizationUrlWithPAR : oidc.buildAuthorizationUrl;
            party.asked = (await build(party.configuration, asked)).href;
            return { location: party.asked };
        },
        "/callback": async (url, request) => {
            const posted = request.method === "POST";
            const answer = posted ? new Request(url, { method: "POST", body: await text(request), headers: { "content-type": request.headers["content-type"] } }) : url;
            const state = (posted ? new URLSearchParams(await answer.clone().text()) : url.searchParams).get("state");
            const arrival = { method: request.method };
            party.arrivals.push(arrival);
            try {
                const more = party.resource && { resource: party.resource };
                arrival.tokens = await oidc.authorizationCodeGrant(party.configuration, answer, begun.get(state), more, { DPoP: party.dpop });
                arrival.claims = arrival.tokens.claims();
                return { html: `<p data-testid="who">${arrival.claims.sub}</p>` };
            } catch (error) {
                arrival.error = error.error ?? error;
                return { html: `<p data-testid="refused">${arrival.error}</p>` };
            }
        },
        "/backchannel": async (_url, request) => {
            const token = new URLSearchParams(await text(request)).get("logout_token");
            const { issuer, jwks_uri } = party.configuration.serverMetadata();
            const expected = { issuer, audience: key, typ: "logout+jwt", algorithms: [alg], requiredClaims: ["jti", "events", "sid", "exp"] };
            const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(jwks_uri)), expected);
            assert.ok("http://schemas.openid.net/event/backchannel-logout" in payload.events && !("nonce" in payload));
            party.told.push(payload.sid);
            return {};
        },
        "/left": async () => ({ html: "<h1>Left</h1>" }),
        "/client.json": async () => ({ json: party.document }),
        "/favicon.ico": async () => ({}),
    };
    const server = createServer(async (request, response) => {
        const url = new URL(request.url, party.origin);
        const { location, html, json } = await pages[url.pathname](url, request).catch((error) => ({ html: `<pre>${error.stack}</pre>` }));
        if (location) return response.writeHead(303, { location }).end();
        if (json) return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(json));
        if (!html) return response.writeHead(204).end();
        response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html><html lang="en"><title>${key}</title>${html}`);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    atTheEnd(async () => {
        server.closeAllConnections();
        server.close();
        await once(server, "close");
    });
    const { port } = server.address();
    party.origin = `http://${host}:${port}`;

    const redirect_uri = `${party.origin.replace(/^(http:\/\/127\.0\.0\.1):.*/, "$1")}/callback`;
    const options = { execute: [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks] };
    await (describes ? describeItself() : registration ? registerItself() : declare());

    async function describeItself() {
        const client_id = `${party.origin}/client.json`;
        const signed = { id_token_signed_response_alg: alg };
        party.document = { client_id, client_name: `Party ${key}`, redirect_uris: [redirect_uri], token_endpoint_auth_method: "none", ...signed };
        party.configuration = await oidc.discovery(new URL(demo.engine), client_id, signed, oidc.None(), options);
    }

    async function registerItself() {
        const metadata = { client_name: `Party ${key}`, redirect_uris: [redirect_uri], token_endpoint_auth_method: method, id_token_signed_response_alg: alg };
        const authentication = method === "none" ? oidc.None() : undefined; // the secret that it is given, in the form
        const asking = { ...options, initialAccessToken: registration };
        party.configuration = await oidc.dynamicClientRegistration(new URL(demo.engine), metadata, authentication, asking);
    }

    async function declare() {
        const signer = method === "private_key_jwt" ? await makeSigner() : undefined;
        await demo.apply(`
            [apps.${key}]
            name = "Party ${key}"
            access = "everyone"
            redirect_uris = ["${redirect_uri}"]
            post_logout_redirect_uris = ["${party.origin}/left"]
            logout_urls = ["http://127.0.0.1:${port}/backchannel"]
            id_token_alg = "${alg}"
            ${signer ? `jwks = '${signer.jwks}'` : ""}
            ${lines}
        `);
        const secret = method === "none" ? undefined : await demo.secretOf(key);
        const metadata = { id_token_signed_response_alg: alg };
        /** What the library knows of the provider and of this client, if the client shows who it is in this way. */
        party.as = (method) => {
            const authentication = typeof method === "function" ? method : METHODS[method](secret, signer);
            return oidc.discovery(new URL(demo.engine), key, metadata, authentication, options);
        };
        party.signer = signer;
        party.configuration = await party.as(method);
        // Revoking nothing is a success for whoever is known (RFC 7009 §2.2).
        const known = () => oidc.tokenRevocation(party.configuration, "nothing").then(() => true, () => false);
        await eventually(`the engine knows ${key}`, 5_000, known);
    }

    /** What came of the last sign-in, which must have been one. */
    party.last = () => party.arrivals.at(-1);
    /** Goes through a sign-in in this visitor's browser, as far as it goes without a person. */
    party.signIn = async (visitor, parameters = {}) => {
        const before = party.arrivals.length;
        await visitor.open(`${party.origin}/sign-in?${new URLSearchParams(parameters)}`);
        return party.arrivals.length > before ? party.last() : undefined;
    };
    /** The same for a client about which people are asked: with the click that allows it. */
    party.allowedBy = async (visitor, parameters = {}) => {
        assert.equal(await party.signIn(visitor, parameters), undefined, "the question comes first");
        await visitor.page.getByTestId("allow").click();
        await visitor.page.getByTestId("who").waitFor();
        return party.last();
    };
    return party;
}
