// Real gateways in front of an app, with the configurations that `docs/guides/forward-auth.md` shows: what people copy from there is what is tested. Only
// addresses and TLS are changed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, PATIENCE, scratch } from "./engine.mjs";
import { eventually } from "./eventually.mjs";

const guide = readFileSync(join(dirname(fileURLToPath(import.meta.url)), "../../docs/guides/forward-auth.md"), "utf8");

/** The one block of this language. */
function block(language) {
    const found = guide.split("```").filter((text) => text.startsWith(`${language}\n`));
    assert.equal(found.length, 1, `one block of ${language} in the guide`);
    return found[0].slice(language.length + 1);
}

const GATEWAYS = {
    nginx: {
        program: "nginx",
        write: (at, put) => {
            const server = put(block("nginx")).replace("listen 443 ssl;", `listen 127.0.0.1:${at.port};`);
            const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${at.folder}/${name};`);
            return {
                "nginx.conf": `daemon off; pid ${at.folder}/pid; error_log stderr; events {} http { access_log off; ${temporary.join(" ")} ${server} }`,
            };
        },
        words: (folder) => ["-e", "stderr", "-p", folder, "-c", join(folder, "nginx.conf")],
    },
    caddy: {
        program: "caddy",
        write: (at, put) => {
            const site = put(block("caddyfile")).replace(/^legacy\S+ \{/m, `http://legacy.company.localhost:${at.port} {\nbind 127.0.0.1`);
            return { Caddyfile: `{\nadmin off\nauto_https off\n}\n${site}` };
        },
        words: (folder) => ["run", "--adapter", "caddyfile", "--config", join(folder, "Caddyfile")],
    },
    haproxy: {
        program: "haproxy",
        write: (at, put) => ({
            "hallpass.lua": put(block("lua")),
            "haproxy.cfg": put(block("haproxy"))
                .replace(/bind .*/, `bind 127.0.0.1:${at.port}`)
                .replace("/etc/haproxy/hallpass.lua", join(at.folder, "hallpass.lua")),
        }),
        words: (folder) => ["-f", join(folder, "haproxy.cfg")],
    },
};

/** Starts one in front of `app`, a port, and returns the address that browsers see. It stops with the journey. */
export async function startGateway({ demo, finally: atTheEnd }, name, app) {
    const { program, write, words } = GATEWAYS[name];
    const at = { port: await freePort(), folder: mkdtempSync(join(scratch(), `${name}-`)) };
    chmodSync(at.folder, 0o777);
    const engine = new URL(demo.engine);
    const put = (text) =>
        text
            .replaceAll("127.0.0.1:7070", `127.0.0.1:${engine.port}`)
            .replaceAll("127.0.0.1:3000", `127.0.0.1:${app}`)
            .replaceAll("auth.company.com", engine.host)
            .replaceAll("legacy.company.com", "legacy.company.localhost");
    for (const [file, text] of Object.entries(write(at, put))) writeFileSync(join(at.folder, file), text);
    const nobody = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};
    const env = { PATH: `${process.env.PATH}:/usr/sbin`, HOME: at.folder };
    const child = spawn(program, words(at.folder), { ...nobody, env, stdio: ["ignore", "pipe", "pipe"] });
    let log = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (log = (log + bytes).slice(-8_000)));
    child.once("error", (error) => (log += error));
    atTheEnd(async () => {
        if (child.exitCode !== null || child.pid === undefined) return;
        child.kill("SIGTERM");
        await once(child, "exit");
    });
    await eventually(() => `${name} serves\n${log}`, PATIENCE, async () => {
        assert.equal(child.exitCode, null, `${name} ended\n${log}`);
        const socket = connect(at.port, "127.0.0.1");
        const connected = await Promise.race([once(socket, "connect").then(() => true), once(socket, "error").then(() => false)]).catch(() => false);
        socket.destroy();
        return connected;
    });
    return `http://legacy.company.localhost:${at.port}`;
}
