// A hostile sibling under the same root domain. Whatever it plants, shadows, floods or posts: an app that has seen its
// person never shows another one without a click that names them, never acts, and never sends the browser in circles.

import assert from "node:assert/strict";
import { startEvil } from "./evil.mjs";
import { journey } from "./harness.mjs";

const PASS = "__Secure-hallpass-pass";
const ZONE = "company.localhost";

/** A `Set-Cookie` line as the engine writes it, with another name, value or path. */
function tossed(value, { name = PASS, path = "/" } = {}) {
    return `${name}=${value}; Domain=${ZONE}; Path=${path}; Secure; HttpOnly; SameSite=Lax; Max-Age=900; Priority=High`;
}

/** Ana at both apps, Ben with a session and a pass of his own (he is the attacker), and his site. */
async function stage(world) {
    const evil = await startEvil(world);
    const ana = await world.signedIn("ana");
    await ana.open(world.demo.apps.pos);
    assert.equal(await ana.who(), "ana", "POS has seen ana");
    const ben = await world.signedIn("ben");
    const [pass] = await ben.cookies(PASS);
    assert.ok(pass, "ben has a pass");
    assert.equal(pass.domain, `.${ZONE}`);
    const refund = await ana.page.getByTestId("refund").evaluate((button) => button.form.action);
    return { ...world, evil, ana, ben, pass: pass.value, refundPath: new URL(refund).pathname };
}

/** Opens a page as often as a puzzled person would: nobody else is shown, and each time the browser comes to rest. */
async function neverBen(visitor, url, times = 3) {
    for (let time = 1; time <= times; time += 1) {
        const seen = await visitor.during(() => visitor.open(url));
        assert.notEqual(await visitor.who(), "ben", `${url} shows ben, to ana, at visit ${time}`);
        assert.ok(seen.navigations <= 3, `${seen.navigations} navigations:\n${seen.path.join("\n")}`);
        // The harness itself fails the journey when one navigation takes more than six redirects.
    }
}

/** She gets back to work, whatever it takes: a click that names her, or her password. */
async function anaWorksAgain(visitor, demo, silent = false) {
    await visitor.open(demo.apps.pos);
    if (await visitor.isAskedToSignIn()) await visitor.signIn("ana");
    if ((await visitor.who()) === null) await visitor.choose("ana");
    if (await visitor.isAskedToSignIn()) await visitor.signIn("ana");
    assert.equal(await visitor.who(), "ana");
    let response = await visitor.click(visitor.page.getByTestId("refund"));
    if (!response.ok() && !silent) {
        // A pass that was shadowed only where the form goes shows there first: refused, cleaned away, and done next time.
        await visitor.open(demo.apps.pos);
        assert.equal(await visitor.who(), "ana");
        response = await visitor.click(visitor.page.getByTestId("refund"));
    }
    assert.ok(response.ok(), `her own refund is made: ${response.status()}`);
}

/** What an app's page says has been done lately, and by whom. */
async function entries(visitor, app) {
    await visitor.open(app);
    return visitor.page.getByTestId("entry").allInnerTexts();
}

/** What a sibling can put in the place of, beside or before the good pass; `silent` says that she need not even notice.
 * Each gets the attacker's pass and the path that the refund form goes to. */
const plants = {
    "garbage in its place": { lines: () => [tossed("garbage")], silent: true },
    "an empty value in its place": { lines: () => [tossed("")], silent: true },
    "a truncated pass in its place": { lines: (pass) => [tossed(pass.slice(0, -5))], silent: true },
    "an unsigned token in its place": { lines: (pass) => [tossed(unsigned(pass))], silent: true },
    "an oversize value in its place": { lines: () => [tossed("x".repeat(3_900))], silent: true },
    "garbage in front of it, by a longer path": { lines: (_, path) => [tossed("garbage", { path })], silent: true },
    "case variants of its name": {
        lines: (pass) => [tossed(pass, { name: PASS.toUpperCase() }), tossed(pass, { name: "__secure-Hallpass-Pass" })],
        silent: true,
    },
    "its removal": { lines: () => [`${PASS}=; Domain=${ZONE}; Path=/; Secure; Max-Age=0`], silent: true },
    "the attacker's own pass in front of it, by a longer path": { lines: (pass, path) => [tossed(pass, { path })] },
    "the attacker's own pass in its place": { lines: (pass) => [tossed(pass)] },
    "the attacker's own pass twice": { lines: (pass, path) => [tossed(pass), tossed(pass, { path })] },
};

function unsigned(pass) {
    const none = Buffer.from('{"alg":"none","typ":"pass+jwt"}').toString("base64url");
    return `${none}.${pass.split(".")[1]}.`;
}

for (const [plant, { lines, silent }] of Object.entries(plants)) {
    journey(`a sibling plants ${plant}`, async (world) => {
        const { demo, evil, ana, pass, refundPath } = await stage(world);
        await evil.toss(ana, lines(pass, refundPath));
        for (const app of Object.values(demo.apps)) {
            await neverBen(ana, app);
            if (silent) assert.equal(await ana.who(), "ana", "the session at home decides, without a question");
        }
        await anaWorksAgain(ana, demo, silent);
    });
}

journey("a page that was open when the attacker's pass arrived does nothing in his name", async (world) => {
    const { demo, evil, ana, ben, pass } = await stage(world);
    const before = await entries(ben, demo.apps.pos);
    for (const flood of [false, true]) {
        // With the flood, the app's own memory of ana is evicted as well: the token in the page still belongs to her session.
        await ana.context.clearCookies();
        await ana.open(demo.apps.pos);
        await ana.signIn("ana");
        const refund = ana.page.getByTestId("refund");
        if (flood) await evil.toss(ana, crumbs(200));
        await evil.toss(ana, [tossed(pass)]);
        const response = await ana.click(refund);
        assert.ok(!response.ok() || (await ana.who()) === null, `refused or asked, not done as ben: ${response.status()}`);
        assert.notEqual(await ana.who(), "ben");
        assert.deepEqual(await entries(ben, demo.apps.pos), before, "nothing has been done");
    }
});

journey("the question names both people, and staying costs one click", async (world) => {
    const { demo, evil, ana, pass } = await stage(world);
    await evil.toss(ana, [tossed(pass)]);
    await ana.open(demo.apps.pos);
    if ((await ana.who()) === null && !(await ana.isAskedToSignIn())) {
        for (const username of ["ana", "ben"]) assert.ok(await ana.isNamed(username), `${username} is named`);
    } else {
        assert.equal(await ana.who(), "ana", "or the session at home has decided already");
    }
    await anaWorksAgain(ana, demo);
});

journey("passes shadowed on a deep path end in a page, not in a circle", async (world) => {
    const { demo, evil, ana, pass } = await stage(world);
    const deep = `${demo.apps.pos}/orders/2026/17`;

    await evil.toss(ana, [tossed(pass, { path: "/orders" })]);
    await neverBen(ana, deep);

    await evil.toss(ana, ["/orders", "/orders/2026", "/orders/2026/17"].map((path) => tossed("garbage", { path })));
    const first = await ana.open(deep);
    assert.equal(first.status, 400, "four cookies of one name are nobody's accident");
    assert.equal(await ana.who(), null);
    await anaWorksAgain(ana, demo);
});

/** Small cookies for the whole zone, enough of them to push others out of the browser's jar. */
function crumbs(count, priority = "") {
    return Array.from({ length: count }, (_, index) => `crumb${index}=1; Domain=${ZONE}; Path=/; Max-Age=600${priority}`);
}

for (const [how, priority] of [["plain", ""], ["of high priority", "; Priority=High"]]) {
    journey(`a sibling floods the jar with 200 cookies ${how}`, async (world) => {
        const { demo, evil, ana } = await stage(world);
        await evil.toss(ana, crumbs(200, priority));
        for (const app of Object.values(demo.apps)) await neverBen(ana, app);
        await ana.open(demo.apps.pos);
        assert.ok((await ana.who()) === "ana" || (await ana.isAskedToSignIn()), `a fresh start at worst: ${ana.page.url()}`);
        await anaWorksAgain(ana, demo);
    });
}

journey("a cookie header beyond every limit gets a small answer, and the way back is open", async (world) => {
    const { demo, evil, ana } = await stage(world);
    const bombs = Array.from({ length: 20 }, (_, index) => `bomb${index}=${"x".repeat(3_900)}; Domain=${ZONE}; Path=/`);
    await evil.toss(ana, bombs);
    assert.equal((await ana.open(demo.apps.pos)).status, 431);
    assert.equal((await ana.open(`${demo.engine}/account`)).status, 431);
    await evil.toss(ana, bombs.map((_, index) => `bomb${index}=; Domain=${ZONE}; Path=/; Max-Age=0`));
    await ana.open(demo.apps.pos);
    assert.equal(await ana.who(), "ana");
});

journey("forms from elsewhere are refused, by the apps and by the engine", async (world) => {
    const { demo, evil, ana } = await stage(world);
    const { engine, apps } = demo;
    const ben = demo.person("ben");
    // Every form that there is, found on the pages themselves, so that a moved address cannot pass for a refused one.
    const actions = new Set();
    for (const address of [...Object.values(apps), `${engine}/`, `${engine}/account`, `${engine}/account/password`, `${engine}/sign-out`, `${engine}/sign-in`]) {
        await ana.open(address);
        for (const action of await ana.page.locator("form[method=post]").evaluateAll((forms) => forms.map((form) => form.action))) {
            actions.add(action);
        }
    }
    for (const expected of [`${engine}/sign-in`, `${engine}/sign-out`, `${engine}/account/password`]) {
        assert.ok(actions.has(expected), `${expected} is among ${[...actions].join(" ")}`);
    }
    for (const app of Object.values(apps)) assert.ok([...actions].some((action) => action.startsWith(app)), `${app} has forms`);
    actions.add(`${engine}/pass/refresh`);

    const before = [await entries(ana, apps.pos), await entries(ana, apps.cashier)];
    // Fields that a form of ours might have, with a token that somebody made up.
    const fields = { csrf_token: "made-up", username: ben.username, password: ben.password, amount: "100", to: ben.username, item: "tea", count: "1" };
    for (const from of [evil.sibling, evil.stranger]) {
        for (const action of actions) {
            const { status, hops } = await evil.post(ana, from, action, fields);
            assert.equal(status, 403, `${from} posts to ${action}`);
            assert.equal(hops, 0, `${action} refuses at once`);
        }
    }
    const after = await ana.during(() => ana.open(apps.pos));
    assert.equal(await ana.who(), "ana", "still signed in, still ana");
    assert.equal(after.redirects, 0);
    assert.deepEqual([await entries(ana, apps.pos), await entries(ana, apps.cashier)], before, "nothing has been done");
    await ana.open(`${engine}/account`);
    assert.equal(await ana.page.getByTestId("session").count(), 1);
    assert.equal(await ana.page.getByTestId("username").innerText(), "ana");
});

journey("a token taken from the attacker's own page opens nothing in another session", async (world) => {
    const { demo, evil, ana, ben } = await stage(world);
    await ben.open(demo.apps.pos);
    const { action, fields } = await ben.page.getByTestId("sign-out").evaluate((control) => ({
        action: control.form.action,
        fields: Object.fromEntries(new FormData(control.form)),
    }));
    const { status } = await evil.post(ana, evil.sibling, action, fields);
    assert.ok(status >= 400 && status < 500, `${status}`);
    await ana.open(demo.apps.pos);
    assert.equal(await ana.who(), "ana");
});

journey("nobody is signed out by an image, a link or a bare visit", async (world) => {
    const { demo, evil, ana } = await stage(world);
    const { engine, apps } = demo;
    const local = await ana.page.getByTestId("sign-out").evaluate((button) => button.form.action);
    for (const from of [evil.sibling, evil.stranger]) {
        await evil.script(ana, from, async (addresses) => {
            for (const address of addresses) {
                const image = new Image();
                const settled = new Promise((done) => (image.onload = image.onerror = done));
                image.src = address;
                await settled;
            }
        }, [`${engine}/sign-out`, `${engine}/sign-out?intent=made-up`, local]);
    }
    await ana.open(`${engine}/sign-out`);
    assert.equal(await ana.page.getByTestId("sign-out").count(), 1, "it asks");
    // An intent that nobody issued is a parameter that nobody knows.
    await ana.open(`${engine}/sign-out?intent=made-up`);
    assert.match(await ana.page.getByTestId("status").innerText(), /400/);
    const walk = await ana.during(() => ana.open(apps.cashier));
    assert.equal(walk.redirects, 0);
    assert.equal(await ana.who(), "ana");
});

journey("scripts of a sibling can read nothing and renew nothing", async (world) => {
    const { demo, evil, ana } = await stage(world);
    const attempts = [
        ["GET", demo.apps.pos],
        ["GET", `${demo.engine}/account`],
        ["GET", `${demo.engine}/pass/refresh?return_to=${encodeURIComponent(demo.apps.pos)}`],
        ["POST", `${demo.engine}/pass/refresh`],
        ["POST", `${demo.engine}/introspect`],
    ];
    for (const from of [evil.sibling, evil.stranger]) {
        const read = await evil.script(ana, from, async (attempts) => {
            const read = [];
            for (const [method, address] of attempts) {
                // One that is never answered must not pass for one that is refused.
                await fetch(address, { method, credentials: "include", signal: AbortSignal.timeout(20_000) }).then(
                    (response) => read.push(`${method} ${address}: ${response.status}`),
                    (error) => error.name === "TimeoutError" && read.push(`${method} ${address}: no answer`),
                );
            }
            return read;
        }, attempts);
        assert.deepEqual(read, [], `${from} can read nothing`);
        const visible = await evil.script(ana, from, () => document.cookie);
        assert.ok(!visible.includes("hallpass"), `no cookie of ours is visible to scripts: ${visible}`);
    }
    await ana.open(demo.apps.pos);
    assert.equal(await ana.who(), "ana");
});

journey("no page can be framed", async (world) => {
    const { demo, evil, ana } = await stage(world);
    for (const from of [evil.sibling, evil.stranger]) {
        for (const address of [demo.apps.pos, demo.apps.cashier, `${demo.engine}/sign-in`, `${demo.engine}/account`, `${demo.engine}/sign-out`]) {
            const tab = await ana.context.newPage();
            const refused = tab.waitForEvent("requestfailed", (request) => request.isNavigationRequest());
            const html = `<!doctype html><title>evil</title><iframe src="${address}"></iframe>`;
            await tab.goto(from + evil.page({ html }));
            const request = await refused;
            assert.match(request.failure().errorText, /BLOCKED_BY_(RESPONSE|CSP)/, `${address} in a frame of ${from}`);
            await tab.close();
        }
    }
});

journey("the engine sends nobody to an address that is not an app's", async (world) => {
    const { demo, evil, ana } = await stage(world);
    const { engine, apps } = demo;
    const host = new URL(apps.pos).host;
    for (const target of [
        evil.sibling,
        `${apps.pos}@${new URL(evil.sibling).host}/`,
        `//${new URL(evil.sibling).host}/`,
        `http:\\\\${new URL(evil.sibling).host}`,
        `http://${host}.${new URL(evil.stranger).host}/`,
        "javascript:alert(1)",
        "data:text/html,hello",
    ]) {
        for (const door of ["/pass/refresh?", "/sign-in?app=pos&"]) {
            await ana.open(`${engine}${door}return_to=${encodeURIComponent(target)}`);
            const { origin } = new URL(ana.page.url());
            assert.ok(origin === engine || Object.values(apps).includes(origin), `${target} led to ${ana.page.url()}`);
        }
    }
});
