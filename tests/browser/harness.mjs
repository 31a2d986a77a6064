// What every journey stands on: the real binary, a real browser, and a count of everything the browser did.
//
// journey("name", async (world) => { … }) gives each journey an engine of its own (`world.demo`, fresh data directory) and
// as many browsers as it asks for (`world.visitor("ana")`). It fails on its own when a page logs an error, violates its
// content security policy, or is redirected more often than any honest path needs. On failure each open page is
// photographed into artifacts/.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const artifacts = join(here, "artifacts");
const built = resolve(process.env.HALLPASS_BIN ?? join(here, "../../target/release/hallpass"));

/** No honest path through sign-in and back needs more redirects than this in one navigation. */
export const LONGEST_CHAIN = 6;

/** How long the engine may take until it serves, and a page until it is there, in milliseconds. */
const PATIENCE = 20_000;

// ---- the engine -------------------------------------------------------------------------------------------------------

// Nothing of the product needs root, so where the tests run as root, the product runs as nobody.
const nobody = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};
const environment = { PATH: process.env.PATH, LANG: "C.UTF-8" };

let home; // one directory per test file, with a copy of the binary where nobody can execute it
function binary() {
    if (!home) {
        home = mkdtempSync(join(tmpdir(), "hallpass-browser-"));
        chmodSync(home, 0o711);
        copyFileSync(built, join(home, "hallpass"));
        chmodSync(join(home, "hallpass"), 0o755);
    }
    return join(home, "hallpass");
}

/** Starts `hallpass demo` on a free port in a fresh data directory and waits until it serves. */
export async function startDemo() {
    const program = binary();
    const data = mkdtempSync(join(home, "data-"));
    if (nobody.uid) chownSync(data, nobody.uid, nobody.gid);
    const options = { ...nobody, cwd: data, env: { ...environment, HOME: data } };

    const child = spawn(program, ["demo", "--json", "--port", "0", "--data", data], {
        ...options,
        stdio: ["ignore", "pipe", "pipe"],
    });
    let log = "";
    child.stderr.on("data", (bytes) => (log = (log + bytes).slice(-8_000)));

    const announced = await new Promise((accept, refuse) => {
        const give_up = setTimeout(() => refuse(new Error(`no address after ${PATIENCE} ms\n${log}`)), PATIENCE);
        const settle = (how, value) => (clearTimeout(give_up), how(value));
        child.once("error", (error) => settle(refuse, error));
        child.once("exit", (code) => settle(refuse, new Error(`hallpass demo ended with ${code}\n${log}`)));
        createInterface({ input: child.stdout }).once("line", (line) => {
            try {
                settle(accept, JSON.parse(line));
            } catch {
                settle(refuse, new Error(`hallpass demo --json printed ${JSON.stringify(line)}\n${log}`));
            }
        });
    }).catch((error) => {
        child.kill("SIGKILL");
        throw error;
    });

    return {
        ...announced,
        /** The person of this username: `{username, password, display_name}`. */
        person(username) {
            const found = announced.users.find((user) => user.username === username);
            assert.ok(found, `the demo has a person called ${username}`);
            return found;
        },
        /** Runs a verb against the same data directory, as an operator would in another terminal. Rejects when it fails. */
        async hallpass(...args) {
            const { stdout } = await promisify(execFile)(program, [...args, "--data", data], { ...options, timeout: PATIENCE });
            return stdout;
        },
        log: () => log,
        /** Asks it to end and insists that it does so cleanly. */
        async stop() {
            const ended = child.exitCode === null ? once(child, "exit") : [child.exitCode];
            child.kill("SIGTERM");
            const insist = setTimeout(() => child.kill("SIGKILL"), 10_000);
            const [code, signal] = await ended;
            clearTimeout(insist);
            rmSync(data, { recursive: true, force: true });
            assert.equal(signal ?? code, 0, `hallpass demo ends with 0 on SIGTERM\n${log}`);
        },
    };
}

// ---- the browser ------------------------------------------------------------------------------------------------------

const launching = {
    executablePath: process.env.HALLPASS_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-quic", "--disable-background-networking"],
};

let browser;
async function launch() {
    browser ??= await chromium.launch(launching);
    return browser;
}

/** A context in a browser of its own, in whose settings the person has blocked all cookies of a site. */
async function launchBlocking(site, options) {
    const profile = mkdtempSync(join(home, "profile-"));
    const cookies = { [`[*.]${site},*`]: { setting: 2 } };
    mkdirSync(join(profile, "Default"));
    const preferences = { profile: { content_settings: { exceptions: { cookies } } } };
    writeFileSync(join(profile, "Default", "Preferences"), JSON.stringify(preferences));
    return chromium.launchPersistentContext(profile, { ...launching, ...options });
}

after(async () => {
    await browser?.close();
    if (home) rmSync(home, { recursive: true, force: true });
});

const isEvil = (url) => url.startsWith("http://evil.");

/** One browser of one person: a context of its own, with everything it does written down. */
class Visitor {
    constructor(name, context, demo) {
        this.name = name;
        this.context = context;
        this.demo = demo;
        this.troubles = []; // console errors and policy violations, minus the statuses that the journey asserts itself
        this.documents = new Set(); // addresses that a main frame was sent to
        this.requests = []; // main-frame requests since the last `during`
        this.tolerated = [];
        context.setDefaultTimeout(PATIENCE);
        context.on("page", (page) => this.watch(page));
    }

    watch(page) {
        page.on("request", (request) => {
            if (!request.isNavigationRequest() || request.frame() !== page.mainFrame()) return;
            this.documents.add(request.url());
            this.requests.push(request);
            let hops = 0;
            for (let from = request.redirectedFrom(); from; from = from.redirectedFrom()) hops += 1;
            if (hops > LONGEST_CHAIN) this.troubles.push(`redirected ${hops} times on the way to ${request.url()}`);
        });
        page.on("pageerror", (error) => {
            if (!isEvil(page.url())) this.troubles.push(`script error on ${page.url()}: ${error.message}`);
        });
        page.on("console", (message) => {
            const from = message.location().url || page.url();
            if (message.type() !== "error" || isEvil(page.url()) || isEvil(from)) return;
            // Chromium reports a 403 page as an error of its own; the journey looks at the status of documents itself.
            const document = this.documents.has(from) || from.startsWith("chrome-error:");
            if (document && message.text().startsWith("Failed to load resource")) return;
            if (this.tolerated.some((pattern) => pattern.test(message.text()))) return;
            this.troubles.push(`console error on ${page.url()}: ${message.text()}`);
        });
    }

    /** Console errors that this journey provokes on purpose. */
    tolerate(pattern) {
        this.tolerated.push(pattern);
    }

    /** Goes to an address in the visitor's tab, as if it had been typed. */
    async open(url) {
        const page = this.page ?? (this.page = await this.context.newPage());
        let latest;
        const note = (response) => {
            if (response.request().isNavigationRequest() && response.frame() === page.mainFrame()) latest = response;
        };
        page.on("response", note);
        await page.goto(url).catch((error) => {
            // An error status without a body is an answer too; the browser shows a page of its own instead.
            if (!error.message.includes("ERR_HTTP_RESPONSE_CODE_FAILURE")) throw error;
        });
        page.off("response", note);
        return { page, response: latest, status: latest?.status() };
    }

    /**
     * Does something and says what the main frame did meanwhile: `navigations` (requests that a page or a person began),
     * `redirects` (hops answered with 3xx), `forms` (POSTs), and the `path` taken.
     */
    async during(action) {
        this.requests = [];
        const result = await action();
        await this.page?.waitForLoadState();
        const seen = this.requests;
        return {
            result,
            navigations: seen.filter((request) => !request.redirectedFrom()).length,
            redirects: seen.filter((request) => request.redirectedFrom()).length,
            forms: seen.filter((request) => request.method() === "POST").length,
            path: seen.map((request) => `${request.method()} ${request.url()}`),
        };
    }

    /** The next document that the main frame arrives at: the response at the end of the redirects. Ask before acting. */
    async arrival(page = this.page) {
        // Headers arrive before the browser leaves the page it shows; only `framenavigated` says that it has left it.
        const [response] = await Promise.all([
            page.waitForResponse((response) => {
                const request = response.request();
                const redirect = response.status() >= 300 && response.status() < 400;
                return request.isNavigationRequest() && request.frame() === page.mainFrame() && !redirect;
            }),
            page.waitForEvent("framenavigated", (frame) => frame === page.mainFrame()),
        ]);
        await page.waitForLoadState();
        return response;
    }

    /** Clicks something that loads a document and returns where that led. */
    async click(locator) {
        const [response] = await Promise.all([this.arrival(locator.page()), locator.click()]);
        return response;
    }

    /** On a page that asks which of two people to be: clicks what names this one. */
    async choose(username) {
        const name = new RegExp(`\\b(${username}|${this.demo.person(username).display_name})\\b`);
        const choice = this.page.getByRole("button", { name }).or(this.page.getByRole("link", { name }));
        return this.click(choice.first());
    }

    /** Fills in the sign-in form that is on the page and sends it. */
    async signIn(username, password = this.demo.person(username).password) {
        await this.page.getByLabel("Username").fill(username);
        await this.page.getByLabel("Password", { exact: true }).fill(password);
        return this.click(this.page.getByRole("button", { name: "Sign in", exact: true }));
    }

    /** Whether the sign-in form is what the page shows. */
    async isAskedToSignIn() {
        return this.page.url().startsWith(`${this.demo.engine}/sign-in`) && (await this.page.getByLabel("Username").count()) === 1;
    }

    /** The username of the person that the app on the page takes this browser for; null when it shows nobody. */
    async who(page = this.page) {
        const shown = page.getByTestId("who");
        if ((await shown.count()) === 0) return null;
        const text = await shown.first().innerText();
        const named = this.demo.users.filter((user) => text.includes(user.display_name) || text.includes(user.username));
        assert.equal(named.length, 1, `"${text}" names one person`);
        return named[0].username;
    }

    /** Whether the page says this person's name, either of them. */
    async isNamed(username) {
        const text = await this.page.locator("body").innerText();
        return text.includes(username) || text.includes(this.demo.person(username).display_name);
    }

    /** The cookies of this name that the browser holds, whatever their domain and path. */
    async cookies(name) {
        return (await this.context.cookies()).filter((cookie) => cookie.name === name);
    }

    async photograph(path, page = this.page) {
        mkdirSync(dirname(path), { recursive: true });
        await page.screenshot({ path, fullPage: true });
    }
}

// ---- journeys ---------------------------------------------------------------------------------------------------------

/** What a journey is handed. Its functions may be taken out of it: `({ demo, visitor }) => …`. */
class World {
    visitors = [];
    endings = [];

    constructor(demo) {
        this.demo = demo;
    }

    /**
     * Opens a browser that shares nothing with the others. Options as for a browser context (viewport, colorScheme, …), and
     * `blocked`: a site whose cookies its settings block.
     */
    visitor = async (name, { blocked, ...given } = {}) => {
        const options = { locale: "en-GB", ...given };
        const context = blocked ? await launchBlocking(blocked, options) : await (await launch()).newContext(options);
        const visitor = new Visitor(name, context, this.demo);
        this.visitors.push(visitor);
        return visitor;
    };

    /** A visitor who has just signed in at the cashier, as the person of that username. */
    signedIn = async (username, options) => {
        const visitor = await this.visitor(username, options);
        await visitor.open(this.demo.apps.cashier);
        await visitor.signIn(username);
        assert.equal(await visitor.who(), username, `${username} is signed in at the cashier`);
        return visitor;
    };

    /** Something to stop when the journey is over. */
    finally = (ending) => {
        this.endings.push(ending);
    };
}

/** Declares a test. */
export function journey(name, body) {
    test(name, { timeout: 300_000 }, async (t) => {
        const world = new World(await startDemo());
        try {
            await body(world, t);
            for (const visitor of world.visitors) assert.deepEqual(visitor.troubles, [], `${visitor.name} met no errors`);
        } catch (error) {
            await keepEvidence(name, world);
            throw error;
        } finally {
            for (const visitor of world.visitors) await visitor.context.close().catch(() => {});
            for (const ending of world.endings) await ending();
            await world.demo.stop();
        }
    });
}

async function keepEvidence(name, world) {
    const slug = name.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 80);
    for (const visitor of world.visitors) {
        for (const [index, page] of visitor.context.pages().entries()) {
            const path = join(artifacts, `${slug}.${visitor.name}-${index}.png`);
            await visitor.photograph(path, page).catch(() => {});
            console.error(`${visitor.name} ended at ${page.url()}; photograph: ${relative(process.cwd(), path)}`);
        }
        for (const request of visitor.requests.slice(-8)) console.error(`  ${request.method()} ${request.url()}`);
    }
    const log = world.demo.log().trim();
    if (log) console.error(log);
}

/** Probes until the answer is yes; fails when it still is no after so many milliseconds. Returns how long it took. */
export async function eventually(what, milliseconds, probe) {
    const began = Date.now();
    while (!(await probe())) {
        assert.ok(Date.now() - began < milliseconds, `${what} within ${milliseconds} ms`);
    }
    return Date.now() - began;
}

/** Where photographs for people go. */
export const look = (name) => join(artifacts, "look", `${name}.png`);
