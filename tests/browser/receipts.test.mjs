// Signing out at any app is signing out at all of them, and the person sees what became of it, even where an app or the engine was down.

import assert from "node:assert/strict";
import { startServe } from "./engine.mjs";
import { journey, look } from "./harness.mjs";
import { startApp } from "./plain-app.mjs";
import { atEveryApp, untilKnown } from "./zones.mjs";

const RECEIPT = [
    "Back office, office.company3.localhost, Signed out",
    "Cashier, company.localhost, Signed out",
    "Outlet, company2.localhost, Signed out",
    "Point of sale, company.localhost, Signed out",
];

const places = { chromium: ["cashier", "pos", "outlet", "office"], firefox: ["office"] };
for (const [browser, keys] of Object.entries(places)) {
    journey(`signing out at any of four apps signs out of all of them: ${keys.join(", ")}`, async (world) => {
        const { demo } = world;
        for (const key of keys) {
            const ana = await atEveryApp(world);
            await ana.open(demo.apps[key]);
            assert.deepEqual((await ana.signOut()).sort(), RECEIPT, `signed out at ${key}`);
            // The browser has been to the other zones; cookies of hosts at home are cleaned when somebody comes there again.
            const passes = (await ana.context.cookies()).filter(({ name }) => /-pass$/.test(name)).map(({ domain }) => domain);
            assert.deepEqual(passes, [], `no pass is left after signing out at ${key}`);
            for (const app of Object.values(demo.apps)) {
                await ana.open(app);
                assert.ok(await ana.isAskedToSignIn(), `signed out at ${key}, and at ${app}`);
            }
            await ana.context.close();
        }
    }, { browser });
}

journey("an app that is down is told later, though the engine is killed meanwhile, and the page says so by itself", async (world) => {
    const { demo } = world;
    const wiki = await startApp(world, "wiki", "wiki.company.localhost");
    await wiki.register(`
        [apps.wiki]
        name = "Wiki"
        origins = ["${wiki.origin}"]
        access = "everyone"
        logout_urls = ["${wiki.backchannel}"]
    `);
    const ana = await world.visitor("ana");
    await ana.open(wiki.origin);
    await ana.signIn("ana");
    assert.equal(await ana.who(), "ana");
    const session = await untilKnown(demo, "ana", ["wiki"]);

    await wiki.down();
    await ana.open(`${demo.engine}/sign-out`);
    assert.deepEqual(await ana.signOut(), ["Wiki, company.localhost, Being told"]);
    await ana.photograph(look("receipt-pending"));
    const receipt = ana.page.url();

    await ana.page.close();
    await demo.kill();
    await demo.serve();
    ana.page = await ana.context.newPage();
    await ana.open(receipt);
    assert.deepEqual(await ana.receipt(), ["Wiki, company.localhost, Being told"], "it was written down");
    assert.deepEqual(wiki.told, []);
    await wiki.up();
    await ana.page.getByTestId("told").filter({ hasText: "Signed out" }).waitFor({ timeout: 60_000 });
    assert.equal(ana.page.url(), receipt, "the page has looked again by itself");
    assert.deepEqual(wiki.told, [session]);
    assert.equal(await ana.page.locator("#pending").count(), 0, "and need not look again");
    await ana.open(wiki.origin);
    assert.ok(await ana.isAskedToSignIn());
}, { start: startServe });
