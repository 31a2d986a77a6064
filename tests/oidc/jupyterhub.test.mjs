// JupyterHub in real Chromium: signed in by the session that the cashier opened. It has no back-channel logout; it asks again, at most every
// `auth_refresh_age`, and is then told that nobody is there.

import assert from "node:assert/strict";
import { PATIENCE } from "../browser/engine.mjs";
import { eventually, journey } from "../browser/harness.mjs";
import { startJupyterHub } from "./jupyterhub.mjs";

/** Whom JupyterHub's page names. */
const shown = async (visitor) => (await visitor.page.locator("#login_widget").innerText()).split(/\s/)[0];

journey("JupyterHub: in without a form, and out when it asks again after a sign-out at the cashier", async (world) => {
    const hub = await startJupyterHub(world);
    const ana = await world.signedIn("ana");
    const walk = await ana.during(() => ana.open(`${hub.origin}/hub/home`));
    assert.equal(walk.forms, 0, `no form:\n${walk.path.join("\n")}`);
    assert.equal(ana.page.url(), `${hub.origin}/hub/home`, hub.log());
    assert.equal(await shown(ana), "ana");

    await ana.open(world.demo.apps.cashier);
    await ana.signOut();
    await eventually(() => `JupyterHub has asked\n${hub.log()}`, PATIENCE, async () => {
        await ana.open(`${hub.origin}/hub/home`);
        return ana.isAskedToSignIn();
    });

    await ana.signIn("ana");
    assert.equal(await shown(ana), "ana", "back where she was");
    await ana.open(`${hub.origin}/hub/logout`);
    await ana.reaches(`${world.demo.engine}/sign-out`);
    await ana.signOut();
    await ana.open(world.demo.apps.cashier);
    assert.ok(await ana.isAskedToSignIn(), "its own sign-out leads to ours");
});
