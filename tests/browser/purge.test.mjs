// What Firefox deletes: a site that a browser only passes through, and that nobody ever touches, loses all that it left (bounce tracking
// protection, part of strict). The home host is passed through by every handoff, and is safe because people type and click there.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { eventually, journey } from "./harness.mjs";
import { PASS } from "./zones.mjs";

const SESSION = "__Host-Http-hallpass";
/** Firefox's own are an hour, an hour and ten seconds. */
const SHORTENED = { bounceTrackingGracePeriodSec: 1, bounceTrackingPurgeTimerPeriodSec: 3, clientBounceDetectionTimerPeriodMS: 500 };
const preferences = Object.fromEntries(Object.entries(SHORTENED).map(([name, value]) => [`privacy.bounceTrackingProtection.${name}`, value]));

/** A page elsewhere with links to these addresses, and another site that only passes people on, which leaves a cookie. */
async function startElsewhere({ finally: atTheEnd }, links) {
    const server = createServer((request, response) => {
        const { hostname, searchParams, pathname } = new URL(request.url, `http://${request.headers.host}`);
        if (hostname === "go.tracker.localhost") {
            return response.writeHead(303, { location: searchParams.get("to"), "set-cookie": "seen=1; Path=/; Max-Age=9000; SameSite=Lax" }).end();
        }
        if (pathname !== "/") return response.writeHead(204).end();
        const items = Object.entries({ ...links, tracker: `${elsewhere.tracker}?${new URLSearchParams({ to: links.outlet })}` });
        const list = items.map(([name, url]) => `<li><a data-testid="${name}" href="${url}">${name}</a>`).join("");
        response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html><html lang="en"><title>News</title><ul>${list}</ul>`);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address();
    const elsewhere = { page: `http://news.elsewhere.localhost:${port}/`, tracker: `http://go.tracker.localhost:${port}/` };
    atTheEnd(() => {
        server.close();
        server.closeAllConnections();
    });
    return elsewhere;
}

/** Follows a link of the page elsewhere, in a tab of its own, and is known where it leads. */
async function follows(visitor, { page }, name) {
    visitor.page = await visitor.context.newPage();
    await visitor.open(page);
    const { path } = await visitor.during(() => visitor.click(visitor.page.getByTestId(name)));
    assert.equal(await visitor.who(), "ana", path.join("\n"));
    return path;
}

journey("a purge leaves the home host alone, where people have typed; one that nobody touched it deletes", async (world) => {
    const { demo, visitor } = world;
    const { outlet, office, pos } = demo.apps;
    const elsewhere = await startElsewhere(world, { outlet: `${outlet}/`, office: `${office}/` });
    const through = (path) => path.some((step) => step.startsWith(`GET ${demo.engine}/handoff/authorize?`));

    const ana = await visitor("ana", { preferences });
    await ana.open(demo.apps.cashier);
    await ana.signIn("ana");
    for (const name of ["outlet", "office"]) assert.ok(through(await follows(ana, elsewhere, name)), "by way of home, without a touch");
    await follows(ana, elsewhere, "tracker");
    assert.equal((await ana.cookies("seen")).length, 1);
    const took = await eventually("what the tracker left is purged", 120_000, async () => (await ana.cookies("seen")).length === 0);
    console.log(`purged after ${took} ms`);
    const [session, ...more] = await ana.cookies(SESSION);
    assert.deepEqual([session?.domain, more], [new URL(demo.engine).hostname, []], "the session at home has survived the same purge");
    for (const app of [pos, outlet, office]) {
        const { redirects } = await ana.during(() => ana.open(app));
        assert.deepEqual([await ana.who(), redirects], ["ana", 0], app);
    }

    // The same session in a browser in which nobody has ever touched the home host: it is the touch that protects.
    const untouched = await visitor("untouched", { preferences });
    await untouched.context.addCookies([session]);
    assert.ok(through(await follows(untouched, elsewhere, "outlet")));
    await eventually("an untouched home host is purged", 120_000, async () => (await untouched.cookies(SESSION)).length === 0);
    await untouched.open(pos);
    assert.ok(await untouched.isAskedToSignIn());
    assert.deepEqual((await untouched.cookies(PASS)).map(({ domain }) => domain), [".company2.localhost"], "where they arrived is no place in between");
}, { browser: "firefox" });
