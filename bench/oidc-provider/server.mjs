// npm oidc-provider with its in-memory adapter, in one process: what the benchmark compares our token endpoint with.
//
// Its defaults, except where the two would otherwise do different work: refresh tokens without `offline_access`, one rotation at each refresh, no
// consent page for an app of the company's own, and room in its memory for more than a thousand entries, because the codes are made beforehand.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import Provider from "oidc-provider";
// Not among what the package offers: its own adapter can only be given a size from here.
import MemoryAdapter from "./node_modules/oidc-provider/lib/adapters/memory_adapter.js";
import LRU from "./node_modules/oidc-provider/lib/helpers/lru.js";

const [, , listen, secret] = process.argv;
const [host, port] = listen.split(":");
const redirectUris = ["https://bench.company.com/callback"];

const key = (alg, type, options) => ({ ...generateKeyPairSync(type, options).privateKey.export({ format: "jwk" }), alg, use: "sig" });
const client = (clientId, alg) => ({
  client_id: clientId,
  client_secret: secret,
  redirect_uris: redirectUris,
  grant_types: ["authorization_code", "refresh_token"],
  token_endpoint_auth_method: "client_secret_basic",
  id_token_signed_response_alg: alg,
});

const store = new LRU({ maxSize: 1_000_000 });
const provider = new Provider(`http://${listen}`, {
  adapter: (model) => new MemoryAdapter(model, store),
  clients: [client("bench-rs256", "RS256"), client("bench-eddsa", "EdDSA")],
  jwks: { keys: [key("RS256", "rsa", { modulusLength: 2048 }), key("EdDSA", "ed25519")] },
  enabledJWA: { idTokenSigningAlgValues: ["RS256", "EdDSA"] },
  cookies: { keys: [secret] },
  features: { devInteractions: { enabled: false } },
  pkce: { required: () => true },
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  findAccount: (context, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  interactions: { url: (context, interaction) => `/sign-in/${interaction.uid}` },
  async loadExistingGrant({ oidc }) {
    const known = oidc.session.grantIdFor(oidc.client.clientId);
    if (known) return oidc.provider.Grant.find(known);
    const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
    grant.addOIDCScope("openid profile email");
    await grant.save();
    return grant;
  },
});

const answer = provider.callback();
let people = 0;
createServer(async (request, response) => {
  // Whoever comes to sign in is somebody new; the session that they get is as real as any other.
  if (request.url.startsWith("/sign-in/")) {
    await provider.interactionFinished(request, response, { login: { accountId: `person-${people++}` } });
  } else {
    answer(request, response);
  }
}).listen(Number(port), host);
