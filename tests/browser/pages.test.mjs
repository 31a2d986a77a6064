// Every page, as people meet it: axe finds nothing serious, light and dark, on a narrow screen, by keyboard alone and
// without JavaScript. Photographs for human eyes go to artifacts/look/.

import assert from "node:assert/strict";
import { startEvil } from "./evil.mjs";
import { journey } from "./harness.mjs";
import { focused, inspect, tabTo } from "./inspect.mjs";
import { anotherAlias, atEveryApp, fetchAtSignIn } from "./zones.mjs";

for (const scheme of ["light", "dark"]) {
    journey(`every page can be read and used, ${scheme}`, async (world) => {
        const { demo, visitor, signedIn } = world;
        const { engine, apps } = demo;
        const ana = await visitor("ana", { colorScheme: scheme, reducedMotion: "reduce" });

        await ana.open(apps.cashier);
        await inspect(ana, "sign-in", scheme);
        await ana.signIn("ana", "not the password");
        await inspect(ana, "sign-in-wrong", scheme);
        await ana.signIn("ana");
        await inspect(ana, "cashier", scheme);
        await ana.open(apps.pos);
        await inspect(ana, "pos", scheme);
        await ana.click(ana.page.getByTestId("refund"));
        await inspect(ana, "pos-refunded", scheme);

        for (const [name, path] of [
            ["home", "/"],
            ["account", "/account"],
            ["change-password", "/account/password"],
            ["sign-out-question", "/sign-out"],
            ["sign-in-as-another", "/sign-in"],
            ["not-found", "/no-such-page"],
            ["bad-return", "/sign-in?app=pos&return_to=http%3A%2F%2Fexample.com%2F"],
        ]) {
            await ana.open(engine + path);
            await inspect(ana, name, scheme);
        }
        await ana.open(`${engine}/account/password`);
        for (const label of ["Current password", "New password", "New password, once more"]) {
            await ana.page.getByLabel(label, { exact: true }).fill("wrong, and too long to be short");
        }
        await ana.click(ana.page.locator("form").getByRole("button"));
        await inspect(ana, "change-password-wrong", scheme);

        // A sibling's toss brings up the page that names two people.
        const ben = await signedIn("ben", { colorScheme: scheme });
        await ben.open(apps.pos);
        await inspect(ben, "pos-without-refund", scheme);
        const [pass] = await ben.cookies("__Secure-hallpass-pass");
        const evil = await startEvil(world);
        await evil.toss(ana, [`${pass.name}=${pass.value}; Domain=company.localhost; Path=/; Secure; HttpOnly; SameSite=Lax`]);
        await ana.open(apps.pos);
        await inspect(ana, "two-people", scheme);
        if ((await ana.who()) === null) await ana.choose("ana");

        await ana.open(`${engine}/sign-out`);
        await ana.click(ana.page.getByTestId("sign-out"));
        await inspect(ana, "signed-out", scheme);
    });
}

/** A page that would go on by itself stays, so that it can be looked at. */
async function held(page, what, answer, action) {
    await page.route(what, (route) => route.fulfill(answer));
    await action();
    await page.unroute(what);
}

const CHAIN_SCRIPT = /\/assets\/chain-\w+\.js$/;
const NOTHING = { contentType: "text/javascript", body: "" };

for (const scheme of ["light", "dark"]) {
    journey(`every page on the way through other root domains can be read and used, ${scheme}`, async (world) => {
        const { demo, visitor, signedIn } = world;
        const { engine, apps } = demo;
        const options = { colorScheme: scheme, reducedMotion: "reduce" };
        const ana = await atEveryApp(world, Object.keys(apps), options);
        await ana.open(apps.office);
        await inspect(ana, "office", scheme);
        await ana.click(ana.page.getByTestId("pay").first());
        await inspect(ana, "office-paid", scheme);
        const ben = await signedIn("ben", options);
        await ben.open(apps.office);
        await inspect(ben, "office-without-pay", scheme);

        await demo.apply(`
            [apps.outlet]
            name = "Outlet"
            zone = "company2"
            origins = ["${apps.outlet}"]
            logout_urls = ["http://127.0.0.1:9/"] # the demo may tell nobody on this machine
        `);
        await fetchAtSignIn(demo, anotherAlias(demo));
        const stranger = await visitor("stranger", options);
        for (const [name, agent] of [["handoff-refused", anotherAlias(demo)], ["handoff-refused-by-app", apps.office]]) {
            const query = new URLSearchParams({ code: "x", state: "s".repeat(43), iss: engine });
            assert.equal((await stranger.open(`${agent}/.sso/callback?${query}`)).status, 403);
            await inspect(stranger, name, scheme);
        }

        await demo.apply('[apps.outlet]\nzone = "company2"\nname = "Outlet"\nlogout_urls = ["http://127.0.0.1:9/"]\norigins = ["' + apps.outlet + '"]');
        await fetchAtSignIn(demo, anotherAlias(demo));
        await ana.open(`${engine}/sign-out`);
        await held(ana.page, CHAIN_SCRIPT, NOTHING, async () => {
            await ana.click(ana.page.getByTestId("sign-out"));
            assert.match(await ana.page.getByTestId("chain").innerText(), /^Signing you out of /);
            await inspect(ana, "chain-sign-out", scheme);
        });
        await ana.click(ana.page.getByTestId("skip"));
        await ana.reaches(/\/sign-out\/receipt\?/);
        // It looks again every three seconds; an answer without content leaves it as it is.
        await held(ana.page, /\/sign-out\/receipt\?/, { status: 204 }, async () => {
            assert.match(await ana.page.getByTestId("told").allInnerTexts().then(String), /Being told/);
            await inspect(ana, "receipt-pending", scheme);
        });

        await ana.open(apps.cashier);
        await held(ana.page, CHAIN_SCRIPT, NOTHING, async () => {
            await ana.signIn("ana");
            assert.match(await ana.page.getByTestId("chain").innerText(), /^Signing you in to /);
            await inspect(ana, "chain", scheme);
            await ana.click(ana.page.getByTestId("skip"));
            if (await ana.page.getByTestId("chain").count()) await inspect(ana, "chain-second", scheme);
        });
        await ana.open(apps.cashier);
        assert.equal(await ana.who(), "ana");
    });
}

journey("dark is dark and light is light", async ({ demo, visitor }) => {
    const brightness = {};
    for (const colorScheme of ["light", "dark"]) {
        const ana = await visitor(colorScheme, { colorScheme });
        await ana.open(demo.apps.pos);
        for (const name of ["engine", "app"]) {
            const colour = await ana.page.evaluate(() => {
                for (const element of [document.body, document.documentElement]) {
                    const parts = getComputedStyle(element).backgroundColor.match(/[\d.]+/g).map(Number);
                    if (parts[3] !== 0) return parts.slice(0, 3);
                }
                return matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255]; // the canvas's own
            });
            brightness[`${name} ${colorScheme}`] = colour.reduce((sum, part) => sum + part) / 3;
            if (name === "engine") await ana.signIn("ana");
        }
    }
    for (const name of ["engine", "app"]) {
        assert.ok(brightness[`${name} light`] > 180 && brightness[`${name} dark`] < 80, JSON.stringify(brightness));
    }
});

journey("the whole way without JavaScript", async ({ demo, visitor }) => {
    const ana = await visitor("ana", { javaScriptEnabled: false });
    await ana.open(demo.apps.cashier);
    await ana.signIn("ana");
    assert.equal(await ana.who(), "ana");
    await ana.open(demo.apps.pos);
    assert.equal(await ana.who(), "ana");
    assert.ok((await ana.click(ana.page.getByTestId("refund"))).ok());
    await ana.open(`${demo.engine}/account`);
    assert.equal(await ana.page.getByTestId("session").count(), 1);
    await ana.open(demo.apps.pos);
    await ana.click(ana.page.getByTestId("sign-out"));
    await ana.open(demo.apps.cashier);
    assert.ok(await ana.isAskedToSignIn());
});

journey("the whole way by keyboard", async ({ demo, visitor }) => {
    const ana = await visitor("ana");
    const { page } = await ana.open(demo.apps.pos);
    await focused(page.getByLabel("Username"));
    await page.keyboard.type("ana");
    await page.keyboard.press("Tab");
    await page.keyboard.type(demo.person("ana").password);
    await Promise.all([ana.arrival(), page.keyboard.press("Enter")]);
    assert.equal(await ana.who(), "ana");

    await tabTo(page, "refund");
    const [refunded] = await Promise.all([ana.arrival(), page.keyboard.press("Enter")]);
    assert.ok(refunded.ok());
    await ana.open(demo.apps.pos);
    await tabTo(page, "sign-out");
    await Promise.all([ana.arrival(), page.keyboard.press("Enter")]);
    await ana.open(demo.apps.pos);
    assert.ok(await ana.isAskedToSignIn());
});

journey("every document carries the headers that protect it", async ({ demo, signedIn }) => {
    const ana = await signedIn("ana");
    for (const path of ["/", "/sign-in", "/account", "/account/password", "/sign-out", "/no-such-page"]) {
        const { response } = await ana.open(demo.engine + path);
        const headers = await response.allHeaders();
        const policy = headers["content-security-policy"] ?? "";
        assert.match(policy, /frame-ancestors 'none'/, path);
        assert.doesNotMatch(policy, /unsafe-(inline|eval)/, path);
        assert.match(headers["cache-control"] ?? "", /no-store/, path);
        assert.equal(headers["x-content-type-options"], "nosniff", path);
        assert.match(headers["referrer-policy"] ?? "", /^(no-referrer|same-origin)$/, path);
    }
});
