// Apache with mod_auth_openidc, as Debian packages both, in front of one page that says whom Apache takes the visitor for. A process of its own on a
// free loopback port, everything that it writes in a directory that goes away, never as root.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, PATIENCE } from "../browser/engine.mjs";
import { eventually } from "../browser/harness.mjs";

const MODULES = ["mpm_event", "authn_core", "authz_core", "authz_user", "mime", "dir", "filter", "include", "auth_openidc"];
/** Where the answers of the sign-in arrive; whatever is below it is the module's own. */
const CALLBACK = "/sso/callback";

/** Registers it as the app `intranet` and starts it. `told`: whether it is told of sign-outs. It stops with the journey. */
export async function startApache({ demo, finally: atTheEnd }, { told = true } = {}) {
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
        TypesConfig /etc/mime.types
        AddType text/html .shtml
        AddOutputFilter INCLUDES .shtml
        DocumentRoot "${folder}/pages"
        DirectoryIndex index.shtml
        <Directory "${folder}/pages">
            Options +Includes
        </Directory>

        OIDCProviderMetadataURL ${demo.engine}/.well-known/openid-configuration
        OIDCClientID intranet
        OIDCClientSecret ${await demo.secretOf("intranet")}
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

    const child = spawn("/usr/sbin/apache2", ["-f", join(folder, "apache.conf"), "-DFOREGROUND"], { uid, gid, env, stdio: ["ignore", "ignore", "pipe"] });
    let errors = ""; // what it says before it has opened its log
    child.stderr.on("data", (bytes) => (errors += bytes));
    const file = join(folder, "log");
    const log = () => errors + (existsSync(file) ? readFileSync(file, "utf8") : "");
    atTheEnd(async () => {
        const ended = child.exitCode === null ? once(child, "exit") : undefined;
        child.kill("SIGTERM");
        await ended;
    });
    await eventually(() => `Apache serves\n${log()}`, PATIENCE, async () => {
        assert.equal(child.exitCode, null, `Apache ended\n${log()}`);
        return (await fetch(`http://127.0.0.1:${port}/left.html`).catch(() => ({}))).ok;
    });
    return { origin, log, signOut: `${origin}${CALLBACK}?logout=${encodeURIComponent(`${origin}/left.html`)}` };
}
