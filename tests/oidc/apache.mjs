// Apache with mod_auth_openidc, as Debian packages both, in front of one page that says whom Apache takes the visitor for. A process of its own on a
// free loopback port, everything that it writes in a directory that goes away, never as root.

import "./localhost.mjs";

import { chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../browser/engine.mjs";
import { eventually } from "../browser/harness.mjs";
import { startProgram } from "./programs.mjs";

const MODULES = ["mpm_event", "authn_core", "authz_core", "authz_user", "mime", "dir", "filter", "include", "auth_openidc"];
/** Where the answers of the sign-in arrive; whatever is below it is the module's own. */
const CALLBACK = "/sso/callback";

/** Registers it as the app `intranet` and starts it. `told`: whether it is told of sign-outs. It stops with the journey. */
export async function startApache(world, { told = true } = {}) {
    const { demo } = world;
    const port = await freePort();
    const origin = `http://intranet.company9.localhost:${port}`;
    await demo.apply(`
        [apps.intranet]
        name = "Intranet"
        access = "everyone"
        redirect_uris = ["${origin}${CALLBACK}"]
        post_logout_redirect_uris = ["${origin}/left.html"]
        logout_urls = [${told ? `"http://127.0.0.1:${port}${CALLBACK}?logout=backchannel"` : ""}]
    `);
    const secret = await demo.secretOf("intranet");
    const { uid, gid, env } = demo.options;
    const folder = join(demo.data, "apache");
    const page = (text) => `<!doctype html><html lang="en"><title>Intranet</title><h1>Intranet</h1>${text}`;
    mkdirSync(join(folder, "pages"), { recursive: true });
    writeFileSync(join(folder, "pages/index.shtml"), page('<p data-testid="who"><!--#echo var="REMOTE_USER" --></p><p data-testid="name"><!--#echo var="OIDC_CLAIM_name" --></p>'));
    writeFileSync(join(folder, "pages/left.html"), page("<p>You have left.</p>"));
    writeFileSync(join(folder, "pages/favicon.ico"), "");
    writeFileSync(join(folder, "apache.conf"), `
        ServerRoot "${folder}"
        ServerName ${new URL(origin).hostname}
        Listen 127.0.0.1:${port}
        ${MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join("\n        ")}
        PidFile "${folder}/pid"
        Mutex "file:${folder}"
        ErrorLog "${folder}/log"
        LogLevel warn auth_openidc:info
        TypesConfig /dev/null
        AddType text/html .shtml .html
        AddOutputFilter INCLUDES .shtml
        DocumentRoot "${folder}/pages"
        DirectoryIndex index.shtml
        <Directory "${folder}/pages">
            Options +Includes
        </Directory>

        OIDCProviderMetadataURL ${demo.engine}/.well-known/openid-configuration
        OIDCClientID intranet
        OIDCClientSecret ${secret}
        OIDCRedirectURI ${origin}${CALLBACK}
        OIDCCryptoPassphrase "${crypto.randomUUID()}"
        OIDCPKCEMethod S256
        OIDCScope "openid profile email"
        OIDCRemoteUserClaim preferred_username
        <Location />
            AuthType openid-connect
            Require valid-user
        </Location>
        <LocationMatch "^/(left.html|favicon.ico)$">
            Require all granted
        </LocationMatch>
    `, { mode: 0o600 });
    if (uid) for (const name of ["", "apache.conf"]) chownSync(join(folder, name), uid, gid);

    const words = ["/usr/sbin/apache2", "-f", join(folder, "apache.conf"), "-DFOREGROUND"];
    const said = await startProgram(world, "Apache", words, { uid, gid, env }, `http://127.0.0.1:${port}/left.html`);
    // What another process has declared the engine hears of a moment later. Revoking nothing is a success for whoever is known (RFC 7009 §2.2).
    const authorization = `Basic ${Buffer.from(`intranet:${secret}`).toString("base64")}`;
    const body = new URLSearchParams({ token: "nothing" });
    const known = async () => (await fetch(`${demo.engine}/oauth/revoke`, { method: "POST", headers: { authorization }, body })).ok;
    await eventually("the engine knows Apache", 5_000, known);
    const log = () => said() + readFileSync(join(folder, "log"), "utf8");
    return { origin, log, signOut: `${origin}${CALLBACK}?logout=${encodeURIComponent(`${origin}/left.html`)}` };
}
