// The main job: sign in at one app and be signed in at the next, with the rights of *that* app, until you sign out of any.

import assert from "node:assert/strict";
import { eventually, journey } from "./harness.mjs";

journey("sign in at the cashier, walk over to POS, lose the role, sign out of both", async ({ demo, visitor }) => {
    const { cashier, pos } = demo.apps;
    const ana = await visitor("ana");

    const arrival = await ana.during(() => ana.open(cashier));
    assert.ok(await ana.isAskedToSignIn(), `a stranger is asked to sign in, at the engine: ${ana.page.url()}`);
    assert.deepEqual([arrival.navigations, arrival.redirects], [1, 1], arrival.path.join("\n"));

    const signIn = await ana.during(() => ana.signIn("ana"));
    assert.equal(new URL(ana.page.url()).origin, new URL(cashier).origin, "back at the app that was asked for");
    assert.equal(await ana.who(), "ana");
    assert.equal(signIn.forms, 1, "one form");
    assert.ok(signIn.redirects <= 2, `by way of /continue at most:\n${signIn.path.join("\n")}`);

    const walk = await ana.during(() => ana.open(pos));
    assert.equal(walk.result.status, 200);
    assert.deepEqual([walk.navigations, walk.redirects, walk.forms], [1, 0, 0], `no redirect, no form:\n${walk.path.join("\n")}`);
    assert.equal(await ana.who(), "ana");

    const refund = ana.page.getByTestId("refund");
    assert.ok(await refund.isEnabled(), "ana is a refunder");
    assert.match(await ana.page.getByTestId("permissions").innerText(), /canRefund/);
    assert.ok((await ana.click(refund)).ok(), "the refund is made");

    // A second tab notices first that the role is gone; the first still shows the button of a moment ago.
    await ana.open(pos);
    const stale = ana.page.getByTestId("refund");
    assert.ok(await stale.isEnabled());
    await demo.hallpass("role", "revoke", "--user", "ana", "--app", "pos", "--role", "refunder");
    const tab = await ana.context.newPage();
    await eventually("the role is gone at POS", 3_000, async () => {
        await tab.goto(pos);
        return !(await tab.getByTestId("permissions").innerText()).includes("canRefund");
    });
    assert.ok(!(await tab.getByTestId("refund").isEnabled()), "the button obeys the role");
    await tab.close();
    assert.equal((await ana.click(stale)).status(), 403, "the next click is refused");

    await ana.open(pos);
    assert.equal(await ana.who(), "ana", "she lost a role, not her session");
    const signOut = await ana.during(() => ana.click(ana.page.getByTestId("sign-out")));
    assert.equal(signOut.navigations, 1, `one click, no question:\n${signOut.path.join("\n")}`);
    for (const app of [cashier, pos]) {
        await ana.open(app);
        assert.ok(await ana.isAskedToSignIn(), `signed out at ${app}`);
    }
});

journey("each person gets their own rights, and a hidden button is not the lock", async ({ demo, visitor }) => {
    const ben = await visitor("ben");
    await ben.open(demo.apps.pos);
    await ben.signIn("ben");
    assert.equal(await ben.who(), "ben");
    assert.doesNotMatch(await ben.page.getByTestId("permissions").innerText(), /canRefund/);
    const refund = ben.page.getByTestId("refund");
    assert.ok(!(await refund.isEnabled()), "ben may not refund");

    await refund.evaluate((button) => {
        for (const control of [button, ...button.form.querySelectorAll("fieldset")]) control.disabled = false;
    });
    assert.equal((await ben.click(refund)).status(), 403);
});

journey("somebody signed out elsewhere meets the form again, and comes back to the page they asked for", async ({ demo, signedIn, visitor }) => {
    const ana = await signedIn("ana");
    const other = await visitor("stranger");
    await other.open(`${demo.apps.pos}/?table=7`);
    assert.ok(await other.isAskedToSignIn(), "another browser knows nothing of ana's session");
    await other.signIn("ben");
    assert.equal(other.page.url(), `${demo.apps.pos}/?table=7`);

    await ana.context.clearCookies();
    await ana.open(demo.apps.pos);
    assert.ok(await ana.isAskedToSignIn(), "losing the cookies is a fresh start");
});

journey("a wrong password says so without saying which half was wrong", async ({ demo, visitor }) => {
    const messages = [];
    for (const [username, password] of [["ana", "not the password"], ["nobody-of-that-name", "not the password"]]) {
        const guesser = await visitor(username);
        await guesser.open(demo.apps.cashier);
        const response = await guesser.signIn(username, password);
        assert.ok(response.status() < 500);
        assert.equal(await guesser.page.getByLabel("Password", { exact: true }).inputValue(), "", "the password is not sent back");
        messages.push(await guesser.page.getByRole("alert").innerText());
    }
    assert.equal(messages[0], messages[1]);
});

journey("a second person signing in ends the first one's session in that browser", async ({ demo, signedIn }) => {
    const shared = await signedIn("ana");
    await shared.open(`${demo.engine}/sign-in`);
    await shared.signIn("ben");
    await shared.open(demo.apps.cashier);
    // The cashier had seen ana: it names both and asks.
    assert.equal(await shared.who(), null, "nobody is swapped for somebody else silently");
    for (const username of ["ana", "ben"]) assert.ok(await shared.isNamed(username), `${username} is named`);
    await shared.choose("ben");
    assert.equal(await shared.who(), "ben");
});
