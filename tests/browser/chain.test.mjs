// The chain: after a sign-in the browser goes once through the zones that are marked for it, and arrives, whatever somebody does on the way.

import assert from "node:assert/strict";
import { startAlias } from "./faults.mjs";
import { journey } from "./harness.mjs";
import { PASS, anotherAlias, backAgain } from "./zones.mjs";

const CHAIN = /\/handoff\/next\?chain=/;

/** Each zone's pass is there: its app shows ana at once. */
async function isEverywhere(visitor, { outlet, office }) {
    for (const app of [outlet, office]) {
        const { redirects, path } = await visitor.during(() => visitor.open(app));
        assert.equal(await visitor.who(), "ana");
        assert.equal(redirects, 0, `its pass is there already:\n${path.join("\n")}`);
    }
}

/** What the chain's page says, and where its link is: runs in the page. */
function look() {
    const element = (name) => document.querySelector(`[data-testid=${name}]`);
    const [title, skip] = [element("chain"), element("skip")];
    return title && skip && { address: location.href, title: title.innerText, skip: skip.getBoundingClientRect().toJSON() };
}

/** Signs in up to the first page of the chain. */
async function signInUpToTheChain(visitor) {
    await (await visitor.fillIn("ana")).click({ noWaitAfter: true });
    return (await visitor.page.waitForFunction(look)).jsonValue();
}

/** The same, where the page goes on at once: Chromium lets nobody look into a page that is about to leave, so it has to tell. */
async function signInPastTheChain(visitor) {
    await visitor.page.addInitScript(`addEventListener("DOMContentLoaded", () => console.info(JSON.stringify((${look})())))`);
    const told = visitor.page.waitForEvent("console", (message) => message.type() === "info" && message.text() !== "null");
    await (await visitor.fillIn("ana")).click({ noWaitAfter: true });
    return JSON.parse((await told).text());
}

for (const browser of ["chromium", "firefox"]) {
    journey("signing in again fetches the pass of each zone on the way", async (world) => {
        const { demo } = world;
        const ana = await backAgain(world);
        const { path, forms } = await ana.during(() => ana.signInThrough(`${demo.apps.cashier}/`, "ana"));
        const seen = path.join("\n");
        assert.equal(await ana.who(), "ana");
        assert.equal(forms, 1, seen);
        assert.equal(path.filter((step) => CHAIN.test(step)).length, 3, `a page for each zone, and from the last one to the end:\n${seen}`);
        for (const agent of [anotherAlias(demo), demo.apps.office]) {
            assert.equal(path.filter((step) => step.startsWith(`GET ${agent}/.sso/callback?code=`)).length, 1, `${agent} got a code:\n${seen}`);
        }
        await isEverywhere(ana, demo.apps);
        const passes = await ana.cookies(PASS);
        assert.deepEqual(passes.map(({ domain }) => domain).sort(), [".company.localhost", ".company2.localhost"]);
        const [bound, ...more] = await ana.cookies("__Host-Http-hallpass-pass");
        assert.deepEqual([bound.domain, more], ["office.company3.localhost", []]);
        assert.equal(new Set([...passes, bound].map(({ value }) => value)).size, 3, "each has a pass of its own");
        assert.deepEqual((await ana.context.cookies()).filter(({ name }) => name.includes("hallpass-tx")), [], "none is half way");
    }, { browser });

    journey("skipping a zone that hangs, from the page", async (world) => {
        const { demo } = world;
        const alias = await startAlias(world, "sso.company2.localhost");
        const ana = await backAgain(world, { alias: alias.origin });
        await alias.falls("says that it is there, and never answers beyond that");
        const hangs = ana.page.waitForRequest((request) => request.url().startsWith(`${alias.origin}/.sso/start`));
        const { title, skip } = await signInPastTheChain(ana);
        assert.equal(title, "Signing you in to company2.localhost");
        await hangs;
        const skipped = ana.page.waitForRequest((request) => CHAIN.test(request.url()));
        await ana.press(skip);
        assert.equal((await (await skipped).allHeaders())["sec-fetch-user"], "?1", "it was the click, not the page's timer");
        await ana.reaches(`${demo.apps.cashier}/`);
        assert.equal(await ana.who(), "ana");
        assert.deepEqual((await ana.cookies("__Host-Http-hallpass-pass")).length, 1, "the other zone was not skipped");
        assert.equal((await ana.cookies(PASS)).length, 1, "this one was");
    }, { browser });
}

journey("a chain without JavaScript: by itself, past a zone that hangs, and by the link", async (world) => {
    const { demo } = world;
    const alias = await startAlias(world, "sso.company2.localhost");
    const ana = await backAgain(world, { alias: alias.origin, javaScriptEnabled: false });
    await ana.signInThrough(`${demo.apps.cashier}/`, "ana");
    await isEverywhere(ana, demo.apps);

    await ana.open(demo.apps.cashier);
    await ana.signOut();
    await alias.falls("accepts and never answers");
    await ana.open(demo.apps.cashier);
    // The engine asks, and is not answered: it leads past the zone.
    await signInUpToTheChain(ana);
    await ana.reaches(`${demo.apps.cashier}/`);
    assert.equal(await ana.who(), "ana");
    assert.equal((await ana.cookies(PASS)).length, 1);

    // What hangs only when the browser comes can be left by the link: the page stays while the next one has not begun.
    await ana.signOut();
    await alias.falls("says that it is there, and never answers beyond that");
    await ana.open(demo.apps.cashier);
    const hangs = ana.page.waitForRequest((request) => request.url().startsWith(`${alias.origin}/.sso/start`));
    const { skip } = await signInUpToTheChain(ana);
    await hangs;
    await ana.press(skip);
    await ana.reaches(`${demo.apps.cashier}/`);
    assert.equal(await ana.who(), "ana");
    assert.equal((await ana.cookies(PASS)).length, 1);
});

for (const illness of ["refuses connections", "answers 500 to everything"]) {
    journey(`a chain without JavaScript, past a zone that ${illness}`, async (world) => {
        const { demo } = world;
        const alias = await startAlias(world, "sso.company2.localhost");
        const ana = await backAgain(world, { alias: alias.origin, javaScriptEnabled: false });
        await alias.falls(illness);
        await signInUpToTheChain(ana);
        await ana.reaches(`${demo.apps.cashier}/`);
        assert.equal(await ana.who(), "ana");
        assert.equal((await ana.cookies(PASS)).length, 1);
        await alias.recovers();
        await ana.open(demo.apps.outlet);
        assert.equal(await ana.who(), "ana", "on demand, later");
    });
}

journey("reloading the chain's page, going back over it, and its address later", async (world) => {
    const { demo } = world;
    const alias = await startAlias(world, "sso.company2.localhost");
    const ana = await backAgain(world, { alias: alias.origin });
    await alias.falls("accepts and never answers");
    const { address } = await signInUpToTheChain(ana);
    await ana.page.reload();
    assert.equal((await ana.page.evaluate(look)).title, "Signing you in to company2.localhost", "the same step again");
    await ana.reaches(`${demo.apps.cashier}/`);
    assert.equal(await ana.who(), "ana");

    const back = await ana.during(() => ana.page.goBack());
    assert.equal(await ana.who(), "ana", `back leads where she is signed in:\n${back.path.join("\n")}\n${ana.page.url()}`);
    assert.ok(!back.path.some((step) => CHAIN.test(step)), "not into the chain again");
    await alias.recovers();
    await ana.open(demo.apps.outlet);
    assert.equal(await ana.who(), "ana");
    await ana.page.goBack();
    assert.equal(await ana.who(), "ana");

    const again = await ana.during(async () => {
        await ana.page.goto(address, { waitUntil: "commit" });
        await ana.reaches(`${demo.apps.cashier}/`);
    });
    assert.equal(await ana.who(), "ana", again.path.join("\n"));
    assert.equal(again.forms, 0);
});

journey("two tabs sign in at once", async (world) => {
    const { demo } = world;
    const ana = await backAgain(world);
    // Each sign-in ends the other's session, and a tab that holds a pass of the ended one is handed over once more: further than any single one goes.
    ana.tolerate(/^redirected ([7-9]|1[0-9]) times/);
    const tab = await ana.context.newPage();
    await tab.goto(`${demo.apps.outlet}/?tab=2`);
    const buttons = [await ana.fillIn("ana"), await ana.fillIn("ana", undefined, tab)];
    await Promise.all(buttons.map((button) => button.click()));
    await Promise.all([ana.reaches(`${demo.apps.cashier}/`), ana.reaches(`${demo.apps.outlet}/?tab=2`, tab)]);
    for (const page of [ana.page, tab]) {
        await page.reload();
        assert.equal(await ana.who(page), "ana");
    }
    await ana.open(demo.apps.office);
    assert.equal(await ana.who(), "ana");
});
