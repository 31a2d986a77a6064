// Apache's mod_auth_openidc in real Chromium: signed in by the session that the cashier opened, and signed out by the back channel.

import assert from "node:assert/strict";
import { PATIENCE } from "../browser/engine.mjs";
import { eventually, journey } from "../browser/harness.mjs";
import { startApache } from "./apache.mjs";

/** Its own session cookie. */
const COOKIE = "mod_auth_openidc_session";

journey("mod_auth_openidc: in without a form, out by the back channel when somebody signs out at the cashier", async (world) => {
    const apache = await startApache(world);
    const ana = await world.signedIn("ana");
    const walk = await ana.during(() => ana.open(apache.origin));
    assert.equal(walk.forms, 0, `no form:\n${walk.path.join("\n")}`);
    assert.equal(await ana.who(), "ana");
    assert.equal(await ana.page.getByTestId("name").innerText(), "Ana Costa", "from the userinfo endpoint");
    const [own] = await ana.cookies(COOKIE);
    assert.ok(own, "Apache keeps a session of its own");

    await ana.open(world.demo.apps.cashier);
    await ana.signOut();
    await eventually(() => `Apache has taken note\n${apache.log()}`, PATIENCE, async () => {
        return (await ana.receipt()).includes(`Intranet, ${new URL(apache.origin).host}, Signed out`);
    });
    assert.equal((await ana.cookies(COOKIE))[0]?.value, own.value, "nobody has been there by browser: the cookie is as it was");
    await ana.open(apache.origin);
    assert.ok(await ana.isAskedToSignIn(), `and opens nothing any more:\n${apache.log()}`);
});

journey("mod_auth_openidc that nobody tells goes on with the session of its own: the back channel is what ended it", async (world) => {
    const apache = await startApache(world, { told: false });
    const ana = await world.signedIn("ana");
    await ana.open(apache.origin);
    await ana.open(world.demo.apps.cashier);
    assert.ok((await ana.signOut()).includes(`Intranet, ${new URL(apache.origin).host}, Not told`), "and the receipt does not say otherwise");
    await ana.open(apache.origin);
    assert.equal(await ana.who(), "ana");
});

journey("mod_auth_openidc: signing out there is signing out of the cashier, too", async (world) => {
    const apache = await startApache(world);
    const ana = await world.visitor("ana");
    await ana.open(apache.origin);
    assert.ok(await ana.isAskedToSignIn());
    await ana.signIn("ana");
    assert.equal(await ana.who(), "ana");
    await ana.open(world.demo.apps.cashier);
    assert.equal(await ana.who(), "ana", "and at the cashier");
    await ana.open(apache.signOut);
    await ana.reaches(`${apache.origin}/left.html`);
    await ana.open(world.demo.apps.cashier);
    assert.ok(await ana.isAskedToSignIn());
});
