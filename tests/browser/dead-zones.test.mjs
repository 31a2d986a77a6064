// A zone that does not answer holds nobody up: the chain passes it by, arrives in time, and the zone is fetched on demand once it is well.

import assert from "node:assert/strict";
import { ILLNESSES, startAlias } from "./faults.mjs";
import { journey } from "./harness.mjs";
import { startApp } from "./plain-app.mjs";
import { PASS, atEveryApp, backAgain, fetchAtSignIn, untilKnown } from "./zones.mjs";

/** A chain takes so long at most, in milliseconds; and what this machine may need besides, for a password and a few pages. */
const [LONGEST, MARGIN] = [6_000, 1_500];

/** Browsers say that the question of the chain's page found nobody. */
const FAILED_CHECK = /Failed to load resource|blocked by CORS policy|CORS request did not succeed/;

/** Writes down how long something took, and insists that it was not too long. */
function inTime(took, what) {
    console.log(`${what}: ${took} ms`);
    assert.ok(took < LONGEST + MARGIN, `${what}: ${took} ms, and at most ${LONGEST} (and ${MARGIN} for this machine) are promised`);
}

/** From the click on "Sign in" to the destination, which must be reached in time. */
async function signInInTime(visitor, url, what) {
    inTime(await visitor.signInThrough(url, "ana"), `${what}: from the form to the destination`);
    assert.equal(await visitor.who(), "ana");
}

/** Ana has been there as well by now, without a form. */
async function isFetchedOnDemand(visitor, app) {
    const { redirects, forms } = await visitor.during(() => visitor.open(app));
    assert.equal(await visitor.who(), "ana", "the zone is well again");
    assert.equal(forms, 0);
    assert.ok(redirects > 0, "it had been left out");
}

// Firefox: where only the page's own question helps, and where only its timer does.
const cases = [...ILLNESSES.map((illness) => [illness, "chromium"]), ...[ILLNESSES.at(0), ILLNESSES.at(-1)].map((illness) => [illness, "firefox"])];
for (const [illness, browser] of cases) {
    journey(`a zone that ${illness}`, async (world) => {
        const { demo } = world;
        const alias = await startAlias(world, "sso.company2.localhost");
        const ana = await backAgain(world, { alias: alias.origin });
        await alias.falls(illness);
        ana.tolerate(FAILED_CHECK);
        await signInInTime(ana, `${demo.apps.cashier}/`, `a zone that ${illness}, in ${browser}`);
        assert.deepEqual((await ana.cookies(PASS)).map(({ domain }) => domain), [".company.localhost"], "company2 was left out");
        const { redirects } = await ana.during(() => ana.open(demo.apps.office));
        assert.deepEqual([await ana.who(), redirects], ["ana", 0], "the zone after it was not");
        await alias.recovers();
        await isFetchedOnDemand(ana, demo.apps.outlet);

        await untilKnown(demo, "ana", ["cashier", "office", "outlet"]);
        await alias.falls(illness);
        const began = Date.now();
        const receipt = await ana.signOut();
        inTime(Date.now() - began, `a zone that ${illness}, in ${browser}: from "Sign out" to the receipt`);
        assert.deepEqual(receipt.map((line) => line.split(", ").at(-1)), ["Signed out", "Signed out", "Signed out"]);
        await alias.recovers();
        await ana.open(demo.apps.outlet);
        assert.ok(await ana.isAskedToSignIn(), "what is left of the pass opens nothing");
    }, { browser });
}

journey("a zone whose name has no address", async (world) => {
    const { demo } = world;
    const port = new URL(demo.engine).port;
    const gone = `http://gone.company2.localhost:${port}`;
    const ana = await backAgain(world, { alias: gone, unresolved: "gone.company2.localhost" });
    ana.tolerate(FAILED_CHECK);
    await signInInTime(ana, `${demo.apps.cashier}/`, "a zone whose name has no address");
    const { redirects } = await ana.during(() => ana.open(demo.apps.office));
    assert.deepEqual([await ana.who(), redirects], ["ana", 0], "the zone after it was fetched");
    await fetchAtSignIn(demo, `http://found.company2.localhost:${port}`);
    await isFetchedOnDemand(ana, demo.apps.outlet);
});

journey("three zones that hang, one after another", async (world) => {
    const { demo } = world;
    const aliases = { company2: await startAlias(world, "sso.company2.localhost") };
    const [apps, marked] = [[], []];
    for (const [zone, key] of [["company4", "kiosk"], ["company5", "stall"]]) {
        const app = await startApp(world, key, `${key}.${zone}.localhost`);
        aliases[zone] = await startAlias(world, `sso.${zone}.localhost`);
        const lines = `
            [zones.${zone}]
            cookie_domain = "${zone}.localhost"
            alias = "${aliases[zone].origin}"
        `;
        await app.register(`
            ${lines}
            [apps.${key}]
            zone = "${zone}"
            origins = ["${app.origin}"]
            access = "everyone"
        `);
        apps.push(app);
        marked.push(`${lines}at_sign_in = true`);
    }
    const ana = await atEveryApp(world);
    for (const app of apps) {
        await ana.open(app.origin);
        assert.equal(await ana.who(), "ana", app.key);
    }
    await untilKnown(demo, "ana", apps.map(({ key }) => key));
    await ana.open(demo.apps.cashier);
    await ana.signOut();
    // Not before: a chain would follow the visits above, too.
    await demo.apply(marked.join("\n"));
    await fetchAtSignIn(demo, aliases.company2.origin);
    for (const alias of Object.values(aliases)) await alias.falls("says that it is there, and never answers beyond that");
    await ana.open(demo.apps.cashier);
    const { path } = await ana.during(() => signInInTime(ana, `${demo.apps.cashier}/`, "three zones that hang"));
    for (const { origin } of Object.values(aliases)) {
        assert.ok(path.some((step) => step.startsWith(`GET ${origin}/.sso/start`)), `it was at ${origin}:\n${path.join("\n")}`);
    }
});
