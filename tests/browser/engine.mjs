// The engine under test: the real binary in a data directory of its own, either as `hallpass demo` or as `hallpass serve` with a
// registry that a journey writes itself.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { eventually } from "./eventually.mjs";

const built = resolve(process.env.HALLPASS_BIN ?? join(dirname(fileURLToPath(import.meta.url)), "../../target/release/hallpass"));

/** How long the engine may take until it serves, and a page until it is there, in milliseconds. */
export const PATIENCE = 20_000;

// Nothing of the product needs root, so where the tests run as root, the product runs as nobody.
const nobody = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};

let home; // one directory per test file, with a copy of the binary where nobody can execute it

/** A directory for whatever the journeys of this file need on disk. */
export function scratch() {
    if (!home) {
        home = mkdtempSync(join(tmpdir(), "hallpass-browser-"));
        chmodSync(home, 0o711);
        copyFileSync(built, join(home, "hallpass"));
        chmodSync(join(home, "hallpass"), 0o755);
    }
    return home;
}

/** When nothing of it is in use any more. */
export function removeScratch() {
    if (home) rmSync(home, { recursive: true, force: true });
}

/** One data directory and the process that works on it. */
class Engine {
    #log = "";
    #files = 0;

    constructor(environment) {
        this.program = join(scratch(), "hallpass");
        this.data = mkdtempSync(join(scratch(), "data-"));
        if (nobody.uid) chownSync(this.data, nobody.uid, nobody.gid);
        const env = { PATH: process.env.PATH, LANG: "C.UTF-8", HOME: this.data, HALLPASS_DATA_DIR: this.data, ...environment };
        this.options = { ...nobody, cwd: this.data, env };
    }

    begin(...words) {
        this.child = spawn(this.program, words, { ...this.options, stdio: ["ignore", "pipe", "pipe"] });
        this.child.stderr.on("data", (bytes) => (this.#log = (this.#log + bytes).slice(-8_000)));
        this.child.once("error", (error) => (this.#log += error));
        return this.child;
    }

    /** The person of this username: `{username, password, display_name}`. */
    person(username) {
        const found = this.users.find((user) => user.username === username);
        assert.ok(found, `the engine has a person called ${username}`);
        return found;
    }

    /** Runs a verb against the same data directory, as an operator would in another terminal. Rejects when it fails. */
    hallpass = (...words) => this.told(undefined, ...words);

    /** The same, with something on its standard input. */
    async told(input, ...words) {
        const stdio = [input === undefined ? "ignore" : "pipe", "pipe", "pipe"];
        const child = spawn(this.program, [...words, "--data", this.data], { ...this.options, stdio, timeout: PATIENCE });
        let [output, errors] = ["", ""];
        child.stdout.on("data", (bytes) => (output += bytes));
        child.stderr.on("data", (bytes) => (errors += bytes));
        child.stdin?.end(input);
        const [code, signal] = await once(child, "close");
        assert.equal(signal ?? code, 0, `hallpass ${words.join(" ")}: ${errors}`);
        return output;
    }

    /** Has the registry brought to what these lines of TOML say. */
    async apply(lines) {
        const file = join(this.data, `registry-${(this.#files += 1)}.toml`);
        writeFileSync(file, lines);
        await this.hallpass("apply", file, "--yes");
    }

    /** Makes an app a new secret key. */
    async secretOf(app) {
        const file = join(this.data, `${app}-${(this.#files += 1)}.secret`);
        await this.hallpass("app", "rotate-secret", app, "--secret-file", file);
        return readFileSync(file, "utf8").trim();
    }

    log = () => this.#log;

    /** Ends it as a power failure would. */
    async kill() {
        const ended = once(this.child, "exit");
        this.child.kill("SIGKILL");
        await ended;
    }

    /** Asks it to end and insists that it does so cleanly. */
    async stop() {
        const ended = this.child.exitCode === null ? once(this.child, "exit") : [this.child.exitCode];
        this.child.kill("SIGTERM");
        const insist = setTimeout(() => this.child.kill("SIGKILL"), 10_000);
        const [code, signal] = await ended;
        clearTimeout(insist);
        rmSync(this.data, { recursive: true, force: true });
        assert.equal(signal ?? code, 0, `hallpass ends with 0 on SIGTERM\n${this.#log}`);
    }
}

/** Starts `hallpass demo` on a free port and waits until it serves. */
export async function startDemo() {
    const engine = new Engine({});
    const child = engine.begin("demo", "--json", "--port", "0", "--data", engine.data);
    const announced = await new Promise((accept, refuse) => {
        const give_up = setTimeout(() => refuse(new Error(`no address after ${PATIENCE} ms\n${engine.log()}`)), PATIENCE);
        const settle = (how, value) => (clearTimeout(give_up), how(value));
        child.once("error", (error) => settle(refuse, error));
        child.once("exit", (code) => settle(refuse, new Error(`hallpass demo ended with ${code}\n${engine.log()}`)));
        createInterface({ input: child.stdout }).once("line", (line) => {
            try {
                settle(accept, JSON.parse(line));
            } catch {
                settle(refuse, new Error(`hallpass demo --json printed ${JSON.stringify(line)}\n${engine.log()}`));
            }
        });
    }).catch((error) => {
        child.kill("SIGKILL");
        throw error;
    });
    return Object.assign(engine, announced);
}

/**
 * Starts `hallpass serve` for company.localhost with ana and ben in it, and waits until it serves. Apps are still to be applied.
 * It can be killed and begun again on the same data: `kill()`, then `serve()`. `environment` is more of its configuration; `configured(url, folder)` may
 * give a file of configuration for the engine that will be at `url`. It is the company's, or another `domain`'s.
 */
export async function startServe({ environment = {}, configured, domain = "company.localhost" } = {}) {
    const port = await freePort();
    const file = configured ? join(mkdtempSync(join(scratch(), "config-")), "hallpass.toml") : undefined;
    if (file) {
        chmodSync(dirname(file), 0o755);
        writeFileSync(file, await configured(`http://auth.${domain}:${port}`, dirname(file)));
    }
    const engine = new Engine({
        ...(file && { HALLPASS_CONFIG: file }),
        HALLPASS_PUBLIC_URL: `http://auth.${domain}:${port}`,
        HALLPASS_COOKIE_DOMAIN: domain,
        HALLPASS_LISTEN: `127.0.0.1:${port}`,
        HALLPASS_INTERNAL_LISTEN: `127.0.0.1:${await freePort()}`,
        HALLPASS_SIGN_OUT_ALLOW_INTERNAL: "127.0.0.0/8",
        HALLPASS_BRAND: "Company",
        ...environment,
    });
    engine.engine = `http://auth.${domain}:${port}`;
    engine.apps = {};
    engine.users = ["Ana Costa", "Ben Okafor"].map((display_name) => {
        const username = display_name.slice(0, 3).toLowerCase();
        return { username, display_name, password: `four quiet words of ${username}` };
    });
    for (const { username, display_name, password } of engine.users) {
        const words = ["user", "add", username, "--display-name", display_name, "--password-stdin", "--permanent"];
        await engine.told(`${password}\n`, ...words);
    }
    engine.serve = async () => {
        const child = engine.begin("serve");
        child.stdout.resume();
        await eventually("the engine serves", PATIENCE, async () => {
            assert.equal(child.exitCode, null, `hallpass serve ended\n${engine.log()}`);
            return serves(engine.engine, port);
        });
    };
    await engine.serve();
    return engine;
}

async function serves(url, port) {
    const options = { host: "127.0.0.1", port, path: "/.well-known/jwks.json", headers: { host: new URL(url).host }, agent: false };
    const [response] = await once(get(options), "response").catch(() => [undefined]);
    response?.resume();
    return response?.statusCode === 200;
}

/** A port that is free now. */
export async function freePort() {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address();
    server.close();
    await once(server, "close");
    return port;
}
