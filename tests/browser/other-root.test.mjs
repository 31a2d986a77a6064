// Another root domain: it cannot see the pass of the first one, and still nobody types a password twice.

import assert from "node:assert/strict";
import { once } from "node:events";
import { get } from "node:http";
import { eventually, journey, look } from "./harness.mjs";

const origin = (url) => new URL(url).origin;

/** Where a navigation of this visitor's would be redirected to, without following. */
async function redirect(visitor, url) {
    const { hostname, host, port, pathname, search } = new URL(url);
    const cookies = (await visitor.context.cookies(`http://${hostname}/`)).map(({ name, value }) => `${name}=${value}`);
    const headers = { host, cookie: cookies.join("; ") };
    const [response] = await once(get({ host: "127.0.0.1", port, path: pathname + search, headers }), "response");
    response.resume();
    assert.equal(response.statusCode, 303, url);
    return response.headers.location;
}

for (const browser of ["chromium", "firefox"]) {
    journey("signed in at home, known at the other root domains without a form, each by a pass of its own", async ({ demo, signedIn }) => {
        const { outlet, office } = demo.apps;
        const ana = await signedIn("ana");
        for (const app of [outlet, office]) {
            const { path, navigations, redirects, forms } = await ana.during(() => ana.open(`${app}/?table=7`));
            assert.equal(ana.page.url(), `${app}/?table=7`, path.join("\n"));
            assert.equal(await ana.who(), "ana");
            assert.deepEqual([navigations, forms], [1, 0], `no form:\n${path.join("\n")}`);
            assert.ok(redirects > 0 && redirects <= 6, path.join("\n"));
            const again = await ana.during(() => ana.open(app));
            assert.deepEqual([again.navigations, again.redirects], [1, 0], "the pass is there now");
        }
        const passes = (await ana.context.cookies()).filter(({ name }) => /-pass$/.test(name));
        assert.deepEqual(passes.map(({ domain, name }) => `${name} ${domain}`).sort(), [
            "__Host-Http-hallpass-pass office.company3.localhost",
            "__Secure-hallpass-pass .company.localhost",
            "__Secure-hallpass-pass .company2.localhost",
        ]);
        assert.equal(new Set(passes.map(({ value }) => value)).size, 3);
        const left = (await ana.context.cookies()).filter((cookie) => cookie.name.includes("hallpass-tx"));
        assert.deepEqual(left, [], "no handoff is left half way");
    }, { browser });
}

journey("signed in at home, with the rights of each app; signed out at company2, out everywhere", async ({ demo, signedIn }) => {
    const { cashier, pos, outlet } = demo.apps;
    const ana = await signedIn("ana");

    const walk = await ana.during(() => ana.open(`${outlet}/?table=7`));
    assert.equal(ana.page.url(), `${outlet}/?table=7`, walk.path.join("\n"));
    assert.equal(walk.result.status, 200);
    assert.equal(await ana.who(), "ana");
    assert.ok(await ana.page.getByTestId(/^sell-/).first().isEnabled(), "ana sells there");
    assert.ok(!(await ana.page.getByTestId("refund").isEnabled()), "the rights are those of that app");

    await ana.photograph(look("outlet"));

    await ana.signOut();
    for (const app of [cashier, pos, outlet]) {
        await ana.open(app);
        assert.ok(await ana.isAskedToSignIn(), `signed out at ${app}`);
    }
});

journey("a stranger at company2 signs in at home and is back where they wanted to go", async ({ demo, visitor }) => {
    const { outlet, pos } = demo.apps;
    const ben = await visitor("ben");
    await ben.open(`${outlet}/?table=7`);
    assert.ok(await ben.isAskedToSignIn(), "passwords are typed at home only");
    await ben.signIn("ben");
    assert.equal(ben.page.url(), `${outlet}/?table=7`);
    assert.equal(await ben.who(), "ben");
    assert.ok(await ben.page.getByTestId("refund").isEnabled(), "ben may refund there");
    const walk = await ben.during(() => ben.open(pos));
    assert.deepEqual([walk.redirects, walk.forms], [0, 0], "and home knows, too");
    assert.ok(!(await ben.page.getByTestId("refund").isEnabled()), "but not here");
});

journey("signing out at home gives a receipt for every app of both domains", async ({ demo, signedIn }) => {
    const { cashier, outlet } = demo.apps;
    const ana = await signedIn("ana");
    await ana.open(outlet);
    assert.equal(await ana.who(), "ana");
    // Which app knows of whom is written down twice a second.
    const sid = JSON.parse((await demo.hallpass("session", "list", "--user", "ana", "--json")).trim())[0].id;
    const known = async () => JSON.parse(await demo.hallpass("session", "receipt", sid, "--json")).map(({ app }) => app);
    await eventually("both apps are known to know", 3_000, async () => (await known()).join() === "cashier,outlet");

    await ana.open(`${demo.engine}/sign-out`);
    assert.deepEqual(await ana.signOut(), ["Cashier, company.localhost, Signed out", "Outlet, company2.localhost, Signed out"]);
    await ana.photograph(look("receipt"));
    for (const app of [cashier, outlet]) {
        await ana.open(app);
        assert.ok(await ana.isAskedToSignIn(), `signed out at ${app}`);
    }
});

journey("two tabs, the back button, and losing cookies half way", async ({ demo, signedIn }) => {
    const { outlet, office, cashier } = demo.apps;
    const ana = await signedIn("ana");
    const tab = await ana.context.newPage();
    for (const app of [office, outlet]) {
        await Promise.all([ana.open(`${app}/?tab=1`), tab.goto(`${app}/?tab=2`)]);
        assert.deepEqual([ana.page.url(), tab.url()], [`${app}/?tab=1`, `${app}/?tab=2`]);
        for (const page of [ana.page, tab]) assert.equal(await ana.who(page), "ana");
    }
    await tab.close();

    await ana.page.goBack();
    assert.equal(ana.page.url(), `${office}/?tab=1`, "back is the page before, not a hop in between");
    assert.equal(await ana.who(), "ana");

    await ana.page.goBack();
    assert.equal(origin(ana.page.url()), origin(cashier), "back is the page before, not a hop in between");
    await ana.page.goForward();
    assert.equal(await ana.who(), "ana");

    await ana.context.clearCookies({ domain: ".company2.localhost" });
    const found = await ana.during(() => ana.open(outlet));
    assert.equal(await ana.who(), "ana", `fetched anew:\n${found.path.join("\n")}`);
    assert.equal(found.forms, 0);
});

for (const key of ["outlet", "office"]) {
    journey(`a window with a dozen tabs of the ${key} is restored when its pass is over: each of them arrives`, async ({ demo, signedIn }) => {
        const ana = await signedIn("ana");
        const tabs = await Promise.all(Array.from({ length: 12 }, () => ana.context.newPage()));
        await Promise.all(tabs.map((tab, index) => tab.goto(`${demo.apps[key]}/?tab=${index}`)));
        const seen = await Promise.all(tabs.map(async (tab) => (await ana.who(tab)) ?? (await tab.title())));
        assert.deepEqual(seen, tabs.map(() => "ana"));
    });
}

journey("a link with somebody else's code signs nobody in", async ({ demo, signedIn, visitor }) => {
    const { outlet } = demo.apps;
    // ben begins a handoff and keeps the callback's address for somebody else.
    const ben = await signedIn("ben");
    const query = new URLSearchParams({ app: "outlet", return_to: `${outlet}/` });
    const start = outlet.replace("outlet.", "sso.") + `/.sso/start?${query}`;
    const code = await redirect(ben, await redirect(ben, start));
    assert.match(code, /\/\.sso\/callback\?code=hp_hc_/);

    const victim = await visitor("victim");
    const { status } = await victim.open(code);
    assert.equal(status, 403);
    assert.equal(await victim.page.getByTestId("title").innerText(), "That link does not work here");
    await victim.photograph(look("handoff-refused"));
    assert.deepEqual(await victim.cookies("__Secure-hallpass-pass"), []);
    await victim.open(outlet);
    assert.ok(await victim.isAskedToSignIn());
    const log = await demo.hallpass("audit", "--event", "handoff_refused", "--json");
    assert.match(log, /no_transaction/);
});

for (const browser of ["chromium", "firefox"]) {
    for (const [key, where] of [["outlet", "company2"], ["office", "the back office"]]) {
        journey(`cookies blocked at ${where}: a page that says so, and no loop`, async ({ demo, signedIn }) => {
            const app = demo.apps[key];
            const ana = await signedIn("ana", { blocked: app.replace(`${key}.`, "") });
            // However often somebody tries, each time the browser comes to rest.
            for (let time = 1; time <= 3; time += 1) {
                const { path, navigations, result } = await ana.during(() => ana.open(app));
                const seen = path.join("\n");
                assert.deepEqual([result.status, navigations], [403, 1], seen);
                assert.equal(seen.match(/callback\?code=/g).length, 1, `one code, and no more:\n${seen}`);
            }
            const says = await ana.page.locator("body").innerText();
            await ana.open(demo.apps.pos);
            assert.equal(await ana.who(), "ana", "nothing else is amiss");
            assert.match(says, /allow cookies/i, "the page says what it may be");
        }, { browser });
    }
}
