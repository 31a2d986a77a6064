// What people can do about their own sessions and passwords, at the engine.

import assert from "node:assert/strict";
import { eventually, journey } from "./harness.mjs";

const LONG = "four unrelated quiet words";
const LONGER = "another five unrelated quiet words";

/** Whether an app still knows this browser; an app may remember an answer for a moment, so it is asked until it forgets. */
async function isSignedOutAt(visitor, app) {
    await visitor.open(app);
    return visitor.isAskedToSignIn();
}

async function fillPasswordForm(visitor, { current, next, again = next }) {
    if (current !== undefined) await visitor.page.getByLabel("Current password").fill(current);
    await visitor.page.getByLabel("New password", { exact: true }).fill(next);
    await visitor.page.getByLabel("New password, once more").fill(again);
    // The browser's own hints aside: it is the engine's refusal that counts.
    await visitor.page.locator("form").evaluate((form) => (form.noValidate = true));
    return visitor.click(visitor.page.locator("form").getByRole("button"));
}

journey("see where I am signed in, and end one of them", async ({ demo, signedIn }) => {
    const desk = await signedIn("ana");
    const phone = await signedIn("ana", { viewport: { width: 360, height: 740 } });
    await desk.open(`${demo.engine}/account`);
    const sessions = desk.page.getByTestId("session");
    assert.equal(await sessions.count(), 2);
    assert.equal(await desk.page.getByTestId("this-browser").count(), 1);

    await desk.click(desk.page.getByTestId("end-session"));
    assert.equal(await sessions.count(), 1, "the list is short again");
    await eventually("the phone is signed out", 3_000, () => isSignedOutAt(phone, demo.apps.pos));
    await desk.open(demo.apps.pos);
    assert.equal(await desk.who(), "ana", "the desk is not");
});

journey("nobody sees or ends a session of somebody else", async ({ demo, signedIn }) => {
    const ana = await signedIn("ana");
    await signedIn("ana");
    const ben = await signedIn("ben");
    await ana.open(`${demo.engine}/account`);
    const foreign = await ana.page.getByTestId("end-session").getAttribute("value");
    assert.ok(foreign);

    await ben.open(`${demo.engine}/account`);
    assert.equal(await ben.page.getByTestId("session").count(), 1, "ben sees only his own");
    // Ben's own page and token, ana's session.
    const response = ben.arrival();
    await ben.page.evaluate(([action, id]) => {
        const form = Object.assign(document.createElement("form"), { method: "post", action });
        const token = document.querySelector("input[name=csrf_token]").value;
        for (const [name, value] of [["csrf_token", token], ["session_id", id]]) {
            form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
        }
        document.body.append(form);
        form.submit();
    }, [`${demo.engine}/account/sessions/end`, foreign]);
    assert.ok((await response).status() < 500);
    await ana.open(`${demo.engine}/account`);
    assert.equal(await ana.page.getByTestId("session").count(), 2, "both of ana's are still there");
});

journey("sign out everywhere", async ({ demo, signedIn }) => {
    const desk = await signedIn("ana");
    const phone = await signedIn("ana");
    const ben = await signedIn("ben");
    await desk.open(`${demo.engine}/account`);
    await desk.click(desk.page.getByTestId("sign-out-everywhere"));
    assert.equal(await desk.page.getByTestId("signed-out").count(), 1);
    for (const visitor of [desk, phone]) {
        for (const app of Object.values(demo.apps)) {
            await eventually(`${visitor.name} is signed out`, 3_000, () => isSignedOutAt(visitor, app));
        }
    }
    await ben.open(demo.apps.pos);
    assert.equal(await ben.who(), "ben", "nobody else is");
});

journey("change the password: this browser stays, the others go, the old one is worth nothing", async ({ demo, signedIn, visitor }) => {
    const { password } = demo.person("ana");
    const desk = await signedIn("ana");
    const phone = await signedIn("ana");
    const form = `${demo.engine}/account/password`;

    await desk.open(form);
    await fillPasswordForm(desk, { current: "not my password", next: LONG });
    assert.equal(await desk.page.getByTestId("current-error").count(), 1);
    await desk.open(form);
    await fillPasswordForm(desk, { current: password, next: LONG, again: LONGER });
    assert.equal(await desk.page.getByTestId("again-error").count(), 1);
    for (const value of await desk.page.locator("input[type=password]").evaluateAll((inputs) => inputs.map((input) => input.value))) {
        assert.equal(value, "", "no password is sent back");
    }

    await desk.open(form);
    assert.ok((await fillPasswordForm(desk, { current: password, next: LONG })).ok());
    assert.equal(await desk.page.getByTestId("current-error").count(), 0);
    await desk.open(demo.apps.pos);
    assert.equal(await desk.who(), "ana", "this browser stays signed in");
    await eventually("the phone is signed out", 3_000, () => isSignedOutAt(phone, demo.apps.pos));

    await phone.signIn("ana", password);
    assert.equal(await phone.page.getByRole("alert").count(), 1, "the old password no longer works");
    const fresh = await visitor("fresh");
    await fresh.open(demo.apps.cashier);
    await fresh.signIn("ana", LONG);
    assert.equal(await fresh.who(), "ana");
});

journey("a forced change stands between the password and the app, and leads on to it", async ({ demo, visitor }) => {
    await demo.hallpass("user", "require-password-change", "--user", "ana");
    const ana = await visitor("ana");
    await ana.open(demo.apps.pos);
    await ana.signIn("ana");
    assert.equal(new URL(ana.page.url()).origin, demo.engine, "not at the app yet");
    assert.match(await ana.page.getByRole("heading", { level: 1 }).innerText(), /new password/i);

    // Going around it leads back to it, or to the sign-in form; never into an app.
    await ana.open(demo.apps.cashier);
    assert.equal(new URL(ana.page.url()).origin, demo.engine);

    await ana.open(demo.apps.pos);
    if (await ana.isAskedToSignIn()) await ana.signIn("ana");
    await fillPasswordForm(ana, { next: "short" });
    assert.equal(new URL(ana.page.url()).origin, demo.engine, "a short one will not do");

    await ana.open(demo.apps.pos);
    if (await ana.isAskedToSignIn()) await ana.signIn("ana");
    await fillPasswordForm(ana, { next: LONG });
    assert.equal(new URL(ana.page.url()).origin, new URL(demo.apps.pos).origin, "and on to the app that was asked for");
    assert.equal(await ana.who(), "ana");
});

journey("stay signed in survives closing the browser, without it nothing does", async ({ demo, visitor }) => {
    for (const stays of [true, false]) {
        const ana = await visitor(stays ? "stays" : "leaves");
        await ana.open(demo.apps.cashier);
        await ana.page.getByLabel(/Stay signed in/).setChecked(stays);
        await ana.signIn("ana");
        const [session] = await ana.cookies("__Host-Http-hallpass");
        assert.ok(session, "the session cookie is at the engine's host");
        assert.equal(session.domain, new URL(demo.engine).hostname, "and only there");
        assert.deepEqual([session.httpOnly, session.secure, session.sameSite, session.path], [true, true, "Lax", "/"]);
        assert.equal(session.expires > 0, stays, "it outlives the browser only when that was asked for");
    }
});
