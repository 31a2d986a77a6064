// Schemathesis asks the real engine whatever its own description allows, and what it does not: nothing may answer otherwise than described, and nothing with
// a fault of ours. Configuration: schemathesis.toml; how often and how long: there and below.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Browser } from "../../sdk/contract/browser.mjs";
import { Engine } from "../../sdk/contract/world.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const schemathesis = process.env.HALLPASS_SCHEMATHESIS ?? "schemathesis";
const callback = "https://pos.company.localhost/callback";

let engine;
let environment;

before(async () => {
  const roles = { seller: ["canCreateOrder"] };
  const more = ['access = "everyone"', "relayed_sign_in = true", 'audiences = ["stock"]', "client_credentials = true", "device = true", `redirect_uris = ["${callback}"]`];
  const page = ['access = "everyone"', 'client = "browser"', 'redirect_uris = ["https://orders.company.localhost/callback"]'];
  const apps = {
    pos: { origin: "https://pos.company.localhost", sensitive: false, roles, more },
    orders: { origin: "https://orders.company.localhost", sensitive: false, roles: {}, more: page },
  };
  engine = await Engine.start(apps, { ana: { pos: ["seller"] } });
  const initial = await openRegistration();
  const secret = readFileSync(engine.secretFiles.pos[0], "utf8").trim();
  const browser = new Browser(engine);
  await browser.signIn(await browser.open(`${engine.url}/sign-in`), "ana");
  const [session] = browser.cookies("__Host-Http-hallpass");
  const token = await accessToken(browser, secret);
  environment = { HALLPASS_SECRET: secret, HALLPASS_ACCESS_TOKEN: token, HALLPASS_SESSION: session.value, ...(await registered(initial)) };
});

after(() => engine?.remove());

/** Lets clients register themselves from now on; the token for that. */
async function openRegistration() {
  const token = randomBytes(32).toString("hex");
  const file = join(engine.data, "hallpass.toml");
  writeFileSync(file, '[registration]\ninitial_access_token = { env = "INITIAL" }\n');
  await engine.kill();
  Object.assign(engine.environment, { HALLPASS_CONFIG: file, INITIAL: token });
  await engine.run();
  return token;
}

/** A client that has registered itself, for the environment. */
async function registered(initial) {
  const headers = [["Content-Type", "application/json"], ["Authorization", `Bearer ${initial}`]];
  const body = JSON.stringify({ client_name: "Planner", redirect_uris: ["https://planner.example/callback"] });
  const answer = await engine.send({ method: "POST", path: "/oauth/register", headers, body });
  assert.equal(answer.status, 201, answer.toString());
  const { client_id: client, registration_access_token: token } = answer.json;
  return { HALLPASS_INITIAL_TOKEN: initial, HALLPASS_CLIENT: client, HALLPASS_REGISTRATION_TOKEN: token };
}

/** By the authorization code flow. */
async function accessToken(browser, secret) {
  const verifier = randomBytes(32).toString("base64url");
  const challenge = createHash("sha256").update(verifier).digest("base64url");
  const asked = { response_type: "code", client_id: "pos", redirect_uri: callback, scope: "openid profile email", code_challenge: challenge, code_challenge_method: "S256" };
  const answer = await browser.ask(`${engine.url}/oauth/authorize?${new URLSearchParams(asked)}`);
  const code = new URL(answer.location).searchParams.get("code");
  const form = { grant_type: "authorization_code", code, redirect_uri: callback, code_verifier: verifier };
  const headers = [["Content-Type", "application/x-www-form-urlencoded"], ["Authorization", `Basic ${btoa(`pos:${secret}`)}`]];
  const tokens = await engine.send({ method: "POST", path: "/oauth/token", headers, body: new URLSearchParams(form).toString() });
  assert.equal(tokens.status, 200, tokens.toString());
  return tokens.json.access_token;
}

test("the answers are those that the description promises, whatever is asked", { timeout: 180_000 }, async () => {
  const description = await engine.send({ path: "/openapi.json" });
  const file = join(engine.home, "openapi.json");
  writeFileSync(file, description.body);
  const words = [
    "--config-file", join(here, "schemathesis.toml"), "run", file,
    // Whatever the system makes of names below localhost; the engine goes by the host that a request names.
    "--url", `http://127.0.0.1:${engine.port}`, "--header", `Host: ${new URL(engine.url).host}`,
    "--max-time", "90", "--phases", "examples,coverage,fuzzing",
    // At the alias of a zone.
    "--exclude-path", "/.well-known/sso-agent",
  ];
  const child = spawn(schemathesis, words, { env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "pipe"], timeout: 170_000 });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (said += bytes));
  const [code] = await once(child, "exit");
  assert.equal(code, 0, said);
});
