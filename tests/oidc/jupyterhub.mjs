// JupyterHub with its GenericOAuthenticator and its usual proxy, on free loopback ports, in a directory that goes away. Nobody starts a notebook here:
// its home page says who is signed in.

import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../browser/engine.mjs";
import { startProgram } from "./programs.mjs";

const proxy = fileURLToPath(new URL("node_modules/configurable-http-proxy/bin/configurable-http-proxy", import.meta.url));

/** Registers it as the app `notebooks` and starts it. It stops with the journey. */
export async function startJupyterHub(world) {
    const { demo } = world;
    const [port, hub, api] = [await freePort(), await freePort(), await freePort()];
    const origin = `http://notebooks.company9.localhost:${port}`;
    await demo.apply(`
        [apps.notebooks]
        name = "Notebooks"
        access = "everyone"
        redirect_uris = ["${origin}/hub/oauth_callback"]
    `);
    const { uid, gid, env } = demo.options;
    const folder = join(demo.data, "jupyterhub");
    mkdirSync(folder);
    const config = join(folder, "jupyterhub_config.py");
    writeFileSync(config, `
import socket

# As in localhost.mjs.
resolve = socket.getaddrinfo
def getaddrinfo(host, *more, **named):
    return resolve("127.0.0.1" if isinstance(host, str) and host.endswith(".localhost") else host, *more, **named)
socket.getaddrinfo = getaddrinfo

c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:${port}"
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.hub_port = ${hub}
c.JupyterHub.default_url = "/hub/home"
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:${api}"

c.JupyterHub.authenticator_class = "generic-oauth"
c.GenericOAuthenticator.client_id = "notebooks"
c.GenericOAuthenticator.client_secret = "${await demo.secretOf("notebooks")}"
c.GenericOAuthenticator.oauth_callback_url = "${origin}/hub/oauth_callback"
c.GenericOAuthenticator.authorize_url = "${demo.engine}/oauth/authorize"
c.GenericOAuthenticator.token_url = "${demo.engine}/oauth/token"
c.GenericOAuthenticator.userdata_url = "${demo.engine}/oauth/userinfo"
c.GenericOAuthenticator.scope = ["openid", "profile", "email"]
c.GenericOAuthenticator.username_claim = "preferred_username"
c.GenericOAuthenticator.auto_login = True
c.GenericOAuthenticator.allow_all = True
c.GenericOAuthenticator.logout_redirect_url = "${demo.engine}/oauth/logout"
# It has no back channel; it asks again who somebody is. Five minutes unless one says otherwise.
c.GenericOAuthenticator.enable_auth_state = True
c.GenericOAuthenticator.auth_refresh_age = 1
`, { mode: 0o600 });
    if (uid) for (const path of [folder, config]) chownSync(path, uid, gid);

    const token = crypto.randomUUID();
    const inside = { ...env, CONFIGPROXY_AUTH_TOKEN: token, JUPYTERHUB_CRYPT_KEY: Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex") };
    const at = (number) => `http://127.0.0.1:${number}`;
    const words = ["--ip", "127.0.0.1", "--port", port, "--api-ip", "127.0.0.1", "--api-port", api, "--default-target", at(hub), "--error-target", `${at(hub)}/hub/error`];
    const alive = `${at(port)}/_chp_healthz`;
    await startProgram(world, "the proxy", [process.execPath, proxy, ...words.map(String)], { env: inside }, alive);
    const python = join(process.env.HALLPASS_JUPYTERHUB, "bin/python");
    const log = await startProgram(
        world, "JupyterHub", [python, "-m", "jupyterhub", "-f", config], { uid, gid, cwd: folder, env: inside }, `${at(port)}/hub/health`,
    );
    return { origin, log };
}
