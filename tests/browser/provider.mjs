// A provider that is not ours: npm oidc-provider, certified by the OpenID Foundation. Its sign-in page takes any name; what is said of whom the journey
// decides.

import { once } from "node:events";
import { generateKeyPairSync } from "node:crypto";
import { createServer, request } from "node:http";
import { text } from "node:stream/consumers";
import Provider from "oidc-provider";

const KEYS = {
    RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
    PS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
    ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
    EdDSA: () => generateKeyPairSync("ed25519"),
};

/** What our engine is there. */
export const CLIENT = { id: "hallpass", secret: "a secret/with ~ +signs:&x=%41" };

/**
 * Starts one on a port of its own, for an engine at `engine` that calls it `name`. `claims(sub)` says what it knows of somebody. `asked` is what it has been
 * asked, `told` what the engine has answered to its logout tokens. Stop it with `stop()`.
 */
export async function startProvider(engine, name, { algorithm = "RS256", authentication = "client_secret_basic", claims = () => ({}) } = {}) {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const issuer = `http://sso.partner.localhost:${server.address().port}`;
    const key = { ...KEYS[algorithm]().privateKey.export({ format: "jwk" }), kid: `${name}-1`, use: "sig", alg: algorithm };
    const provider = new Provider(issuer, {
        clients: [
            {
                client_id: CLIENT.id,
                client_secret: CLIENT.secret,
                redirect_uris: [`${engine}/upstream/oidc/callback/${name}`],
                post_logout_redirect_uris: [`${engine}/upstream/oidc/signed-out/${name}`],
                backchannel_logout_uri: `${engine}/upstream/oidc/backchannel-logout/${name}`,
                backchannel_logout_session_required: true,
                token_endpoint_auth_method: authentication,
                id_token_signed_response_alg: algorithm,
            },
        ],
        enabledJWA: { idTokenSigningAlgValues: [algorithm] },
        clientAuthMethods: [authentication],
        jwks: { keys: [key] },
        cookies: { keys: ["of this journey"] },
        claims: { openid: ["sub"], profile: ["name", "preferred_username", "groups"], email: ["email", "email_verified"] },
        findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, ...claims(sub) }) }),
        // Every client must prove that it began what it ends.
        pkce: { required: () => true },
        // Its own pages for trying things out would fetch fonts from elsewhere.
        features: {
            devInteractions: { enabled: false },
            backchannelLogout: { enabled: true },
            rpInitiatedLogout: { enabled: true, logoutSource: (context, form) => (context.body = signOutPage(form)), postLogoutSuccessSource: (context) => (context.body = SIGNED_OUT) },
        },
        fetch: toThisMachine,
        interactions: { url: (_, { uid }) => `/interaction/${uid}` },
        ttl: { Interaction: 600, Session: 600, Grant: 600, AccessToken: 300, IdToken: 300 },
    });
    const told = [];
    provider.on("backchannel.success", () => told.push(200));
    provider.on("backchannel.error", (_, error) => told.push(error.response?.status ?? error.message));
    const [asked, rest] = [[], provider.callback()];
    server.on("request", (request, response) => {
        asked.push(`${request.method} ${request.url.split("?")[0]}`);
        return request.url.startsWith("/interaction/") ? interact(provider, request, response) : rest(request, response);
    });
    return {
        issuer,
        client: CLIENT.id,
        secret: CLIENT.secret,
        asked,
        told,
        stop: async () => {
            server.closeAllConnections();
            server.close();
            await once(server, "close");
        },
    };
}

const signOutPage = (form) => `<!doctype html><html lang="en"><title>Sign out</title><link rel="icon" href="data:,">${form}
<button form="op.logoutForm" name="logout" value="yes">Sign out there</button>`;
const SIGNED_OUT = `<!doctype html><html lang="en"><title>Signed out</title><link rel="icon" href="data:,"><h1>Signed out there</h1>`;

/** What it sends to engines: names below `localhost` are this machine (RFC 6761 section 6.3), which the resolver of plain Debian does not know. */
async function toThisMachine(address, { method, headers, body }) {
    const { host, port, pathname } = new URL(address);
    const asked = request({ host: "127.0.0.1", port, path: pathname, method, headers: { ...Object.fromEntries(new Headers(headers)), host } });
    asked.end(String(body));
    const [answer] = await once(asked, "response");
    return new Response(answer.statusCode === 204 ? null : await text(answer), { status: answer.statusCode });
}

const PAGE = `<!doctype html><html lang="en"><title>Sign in</title><link rel="icon" href="data:,">
<form method="post"><label>Who are you? <input name="sub"></label><button>Go on</button><button name="cancel" value="1">Cancel</button></form>`;

/** Its one page: who somebody is, and that our engine may know it. */
async function interact(provider, request, response) {
    const { params } = await provider.interactionDetails(request, response);
    if (request.method === "GET") return response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
    const fields = new URLSearchParams(await text(request));
    const finish = (result) => provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
    if (fields.has("cancel")) return finish({ error: "access_denied", error_description: "<script>alert(1)</script>" });
    const accountId = fields.get("sub");
    const grant = new provider.Grant({ accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    return finish({ login: { accountId }, consent: { grantId: await grant.save() } });
}
