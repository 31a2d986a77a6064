// What every journey stands on: the real binary, a real browser, and a count of everything the browser did.
//
// journey("name", async (world) => { … }) gives each journey an engine of its own (`world.demo`, fresh data directory) and
// as many browsers as it asks for (`world.visitor("ana")`). It fails on its own when a page logs an error, violates its
// content security policy, or is redirected more often than any honest path needs. On failure each open page is
// photographed into artifacts/. A journey goes through Chromium and in front of `hallpass demo`, unless it says otherwise.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { closeBrowsers, openContext } from "./browsers.mjs";
import { PATIENCE, removeScratch, startDemo } from "./engine.mjs";
import { eventually } from "./eventually.mjs";

export { eventually };

const artifacts = join(dirname(fileURLToPath(import.meta.url)), "artifacts");

/** No honest path through sign-in and back needs more redirects than this in one navigation. */
export const LONGEST_CHAIN = 6;

after(async () => {
    await closeBrowsers();
    removeScratch();
});

/** The hash of `body {}`, which Playwright puts into a page before it photographs it in Firefox, and our policy refuses. */
const PHOTOGRAPHER = "'sha256-YjaKGiklmzC6wjXA513HAMmzus8VE61XCOT+SmwNZWA='";

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
            const far = `redirected ${hops} times on the way to ${request.url()}`;
            if (hops > LONGEST_CHAIN && !this.tolerates(far)) this.troubles.push(far);
        });
        page.on("pageerror", (error) => {
            if (isEvil(page.url()) || error.message.includes(PHOTOGRAPHER) || this.tolerates(error.message)) return;
            this.troubles.push(`script error on ${page.url()}: ${error.message}`);
        });
        page.on("console", (message) => {
            const from = message.location().url || page.url();
            if (message.type() !== "error" || isEvil(page.url()) || isEvil(from)) return;
            // Chromium reports a 403 page as an error of its own; the journey looks at the status of documents itself.
            const document = this.documents.has(from) || from.startsWith("chrome-error:");
            if (document && message.text().startsWith("Failed to load resource")) return;
            if (this.tolerates(message.text())) return;
            this.troubles.push(`console error on ${page.url()}: ${message.text()}`);
        });
    }

    /** Console errors that this journey provokes on purpose. */
    tolerate(pattern) {
        this.tolerated.push(pattern);
    }

    tolerates(text) {
        return this.tolerated.some((pattern) => pattern.test(text));
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

    /** Fills in the sign-in form that is on the page, and returns the button that sends it. */
    async fillIn(username, password = this.demo.person(username).password, page = this.page) {
        await page.getByLabel("Username").fill(username);
        await page.getByLabel("Password", { exact: true }).fill(password);
        return page.getByRole("button", { name: "Sign in", exact: true });
    }

    /** Fills in the sign-in form and sends it. */
    async signIn(username, password) {
        return this.click(await this.fillIn(username, password));
    }

    /** The same, and lets a chain take the browser on until it is at `url`. Returns how long that took, in milliseconds. */
    async signInThrough(url, username) {
        const button = await this.fillIn(username);
        const began = Date.now();
        await button.click();
        await this.reaches(url);
        return Date.now() - began;
    }

    /** Clicks what signs out, lets the browser go through the other zones, and returns the lines of the receipt at the end. */
    async signOut(button = this.page.getByTestId("sign-out")) {
        await button.click();
        await this.reaches(/\/sign-out\/receipt\?/);
        return this.receipt();
    }

    /** Waits until a page is at this address, whatever became of navigations that were abandoned on the way. */
    async reaches(url, page = this.page) {
        const there = () => (typeof url === "string" ? page.url() === url : url.test(page.url()));
        const last = () => this.requests.slice(-3).map((request) => request.url()).join("\n");
        await eventually(() => `${page.url()} leads to ${url} by way of\n${last()}\n`, PATIENCE, there);
        await page.waitForLoadState();
    }

    /** The receipt on the page: for each app its name, its zone's domain, and whether it knows. */
    async receipt() {
        const lines = await this.page.getByTestId("receipt").all();
        return Promise.all(lines.map(async (line) => {
            const parts = ["strong", ".quiet", "[data-testid=told]"].map((part) => line.locator(part).innerText());
            return (await Promise.all(parts)).join(", ");
        }));
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

    /** Clicks with the mouse where something is now, without waiting for the page that is under way. */
    async press(box) {
        await this.page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
    }

    async photograph(path, page = this.page, timeout = PATIENCE) {
        mkdirSync(dirname(path), { recursive: true });
        await page.screenshot({ path, fullPage: true, timeout });
    }
}

// ---- journeys ---------------------------------------------------------------------------------------------------------

/** What a journey is handed. Its functions may be taken out of it: `({ demo, visitor }) => …`. */
class World {
    visitors = [];
    endings = [];

    constructor(demo, browser) {
        this.demo = demo;
        this.browser = browser;
    }

    /** Opens a browser that shares nothing with the others. Options as for a browser context (viewport, …) and `openContext`. */
    visitor = async (name, options = {}) => {
        const context = await openContext(this.browser, { locale: "en-GB", ...options });
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

/** Declares a test. `start` gives the engine. */
export function journey(name, body, { browser = "chromium", start = startDemo } = {}) {
    test(browser === "chromium" ? name : `${name} (${browser})`, { timeout: 300_000 }, async (t) => {
        const world = new World(await start(), browser);
        try {
            await body(world, t);
            for (const visitor of world.visitors) assert.deepEqual(visitor.troubles, [], `${visitor.name} met no errors`);
        } catch (error) {
            await keepEvidence(t.name, world);
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
            await visitor.photograph(path, page, 3_000).catch(() => {}); // a page that hangs cannot be photographed
            console.error(`${visitor.name} ended at ${page.url()}; photograph: ${relative(process.cwd(), path)}`);
        }
        for (const request of visitor.requests.slice(-8)) console.error(`  ${request.method()} ${request.url()}`);
    }
    const log = world.demo.log().trim();
    if (log) console.error(log);
}

/** Where photographs for people go. */
export const look = (name) => join(artifacts, "look", `${name}.png`);
