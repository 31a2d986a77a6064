// The back office is bound: its pass is a cookie of its own host. No other host changes who is signed in there, and no other pass opens it.

import assert from "node:assert/strict";
import { startEvil } from "./evil.mjs";
import { journey } from "./harness.mjs";
import { PASS } from "./zones.mjs";

const BOUND = "__Host-Http-hallpass-pass";

/** Somebody signed in at the cashier who has gone on to the back office, and the value of the pass that they have there. */
async function inTheOffice({ demo, signedIn }, username) {
    const person = await signedIn(username);
    await person.open(demo.apps.office);
    assert.equal(await person.who(), username);
    const [pass] = await person.cookies(BOUND);
    assert.deepEqual([pass.domain, pass.httpOnly, pass.secure, pass.sameSite], ["office.company3.localhost", true, true, "Lax"]);
    return { person, pass: pass.value };
}

for (const browser of ["chromium", "firefox"]) {
    journey("whatever hosts beside and below it toss, the back office knows who is there", async (world) => {
        const { demo } = world;
        const evil = await startEvil(world);
        const { person: ana, pass } = await inTheOffice(world, "ana");
        const { person: ben, pass: his } = await inTheOffice(world, "ben");
        const [{ value: wide }] = await ben.cookies(PASS);
        const names = [PASS, BOUND, "__Host-hallpass-pass", "__host-http-hallpass-pass", "__HOST-HTTP-HALLPASS-PASS"];
        for (const [from, domain] of [[evil.beside, "company3.localhost"], [evil.below, "company3.localhost"], [evil.below, "office.company3.localhost"]]) {
            for (const value of [his, wide]) {
                const end = `Domain=${domain}; Path=/; Secure; HttpOnly; SameSite=Lax; Priority=High`;
                await evil.toss(ana, [...names.map((name) => `${name}=${value}; ${end}`), `=${BOUND}=${value}; ${end}`], undefined, from);
                const tossed = (await ana.context.cookies(demo.apps.office)).filter((cookie) => cookie.domain === `.${domain}`);
                assert.deepEqual(tossed.map(({ name }) => name), [PASS], "what a browser takes from there, it took");
                const { redirects } = await ana.during(() => ana.open(demo.apps.office));
                assert.deepEqual([await ana.who(), redirects], ["ana", 0]);
                assert.ok((await ana.click(ana.page.getByTestId("pay").first())).ok(), "she pays, in her own name");
            }
        }
        assert.deepEqual((await ana.cookies(BOUND)).map(({ domain, value }) => [domain, value]), [["office.company3.localhost", pass]]);

        // Pushed out of the browser, it is fetched again from where ana is signed in.
        const crumbs = Array.from({ length: 250 }, (_, index) => `crumb${index}=x; Domain=company3.localhost; Path=/; Secure; Priority=High`);
        await evil.toss(ana, [...crumbs, `${PASS}=${his}; Domain=company3.localhost; Path=/; Secure; Priority=High`], undefined, evil.beside);
        assert.deepEqual(await ana.cookies(BOUND), [], "it is gone");
        await ana.open(demo.apps.office);
        assert.equal(await ana.who(), "ana");

        // Somebody who has no pass there yet is not let in by ben's.
        const stranger = await world.visitor("stranger");
        await evil.toss(stranger, names.map((name) => `${name}=${his}; Domain=company3.localhost; Path=/; Secure`), undefined, evil.beside);
        await stranger.open(demo.apps.office);
        assert.ok(await stranger.isAskedToSignIn(), stranger.page.url());
    }, { browser });
}

journey("no other zone's pass opens the back office, and its own opens nothing else", async (world) => {
    const { demo } = world;
    const { person: ana, pass } = await inTheOffice(world, "ana");
    const [{ value: wide }] = await ana.cookies(PASS);
    const office = { domain: "office.company3.localhost", path: "/", secure: true, httpOnly: true, sameSite: "Lax" };
    const pos = { ...office, domain: ".company.localhost" };
    for (const [app, cookie] of [
        [demo.apps.office, { ...office, name: PASS, value: wide, domain: ".company3.localhost" }],
        [demo.apps.office, { ...office, name: PASS, value: wide }],
        [demo.apps.office, { ...office, name: BOUND, value: wide }],
        [demo.apps.office, { ...office, name: PASS, value: pass }],
        [demo.apps.pos, { ...pos, name: PASS, value: pass }],
    ]) {
        const other = await world.visitor("other");
        await other.context.addCookies([cookie]);
        assert.equal((await other.context.cookies(app)).length, 1, "it is sent");
        await other.open(app);
        assert.ok(await other.isAskedToSignIn(), `${cookie.name} of ${cookie.domain} at ${app}`);
        await other.context.close();
    }
    // The same way of planting lets in whoever has the right one.
    const other = await world.visitor("other");
    await other.context.addCookies([{ ...office, name: BOUND, value: pass }]);
    await other.open(demo.apps.office);
    assert.equal(await other.who(), "ana");
});
