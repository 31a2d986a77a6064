// The demo's zones beyond home, put into the chain that follows a sign-in; and people whom it takes along, since they have been there before.

import assert from "node:assert/strict";
import { once } from "node:events";
import { get } from "node:http";
import { eventually } from "./eventually.mjs";

/** The name of every zone's pass but a bound one's. */
export const PASS = "__Secure-hallpass-pass";

/**
 * Has company2 and the back office's zone fetched at sign-in, and returns when the running engine has noticed. `alias`: who answers for
 * company2 from now on, an address that did not do so before.
 */
export async function fetchAtSignIn(demo, alias) {
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
    await eventually(`the engine answers for ${alias}`, 5_000, () => answersFor(demo, alias));
}

/** Whether the engine knows this address as its own. */
async function answersFor(demo, alias) {
    const headers = { host: new URL(alias).host };
    const options = { host: "127.0.0.1", port: new URL(demo.engine).port, path: "/.well-known/sso-agent", headers };
    const [response] = await once(get(options), "response");
    response.resume();
    return response.statusCode === 200;
}

/** Another address of the demo's engine at company2. */
export const anotherAlias = ({ apps }) => apps.outlet.replace("outlet.", "sign-in.");

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

/** Ana before the cashier's sign-in form, in a browser in which she has used every app before: a chain follows. `alias`: as above. */
export async function backAgain(world, { alias = anotherAlias(world.demo), ...options } = {}) {
    const { demo } = world;
    const ana = await atEveryApp(world, Object.keys(demo.apps), options);
    await ana.open(demo.apps.cashier);
    await ana.signOut();
    await fetchAtSignIn(demo, alias);
    await ana.open(demo.apps.cashier);
    assert.ok(await ana.isAskedToSignIn(), "signed out");
    return ana;
}
