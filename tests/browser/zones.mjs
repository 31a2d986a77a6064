// The demo's zones beyond home, put into the chain that follows a sign-in; and people whom it takes along, since they have been there before.

import assert from "node:assert/strict";
import { eventually } from "./eventually.mjs";

/** The name of every zone's pass but a bound one's. */
export const PASS = "__Secure-hallpass-pass";

/** Has company2 and the back office's zone fetched at sign-in. `alias`: who answers for company2 from now on. */
export async function fetchAtSignIn(demo, alias = aliasOf(demo)) {
    await demo.apply(`
        [zones.company2]
        cookie_domain = "company2.localhost"
        alias = "${alias}"
        at_sign_in = true
        [zones.office]
        cookie_domain = "office.company3.localhost"
        bound = true
        at_sign_in = true
    `);
}

/** Where the demo's engine answers for company2 by itself. */
export const aliasOf = ({ apps }) => apps.outlet.replace("outlet.", "sso.");

/** Waits until it is written down, which happens twice a second, that all these apps know of a person's session. */
export async function untilKnown(demo, username, apps) {
    const [{ id }] = JSON.parse(await demo.hallpass("session", "list", "--user", username, "--json"));
    await eventually(`${apps} know of ${username}`, 5_000, async () => {
        const known = JSON.parse(await demo.hallpass("session", "receipt", id, "--json")).map(({ app }) => app);
        return apps.every((app) => known.includes(app));
    });
    return id;
}

/** Ana at each of these apps, by their keys, with one sign-in. */
export async function atEveryApp({ demo, signedIn }, keys = Object.keys(demo.apps), options = {}) {
    const ana = await signedIn("ana", options);
    for (const key of keys.filter((key) => key !== "cashier")) {
        await ana.open(demo.apps[key]);
        assert.equal(await ana.who(), "ana", key);
    }
    await untilKnown(demo, "ana", keys);
    return ana;
}

/** Ana before the sign-in form of the cashier, in a browser in which she has used every app before. */
export async function backAgain(world, options = {}) {
    const ana = await atEveryApp(world, Object.keys(world.demo.apps), options);
    await ana.open(world.demo.apps.cashier);
    await ana.signOut();
    await ana.open(world.demo.apps.cashier);
    assert.ok(await ana.isAskedToSignIn(), "signed out");
    return ana;
}
