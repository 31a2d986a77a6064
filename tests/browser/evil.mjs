// A hostile neighbour. The same server is reachable as a sibling (evil.company.localhost, same site, so the browser takes
// its cookies for Domain=company.localhost), as a stranger (evil.company2.localhost, another site), beside the back office
// (evil.company3.localhost) and below it.

import { once } from "node:events";
import { createServer } from "node:http";

/** Starts it on a free loopback port. It stops with the journey. */
export async function startEvil(world) {
    const pages = new Map();
    // It must itself survive the cookies that it plants.
    const server = createServer({ maxHeaderSize: 1 << 20 }, (request, response) => {
        const page = pages.get(new URL(request.url, "http://evil").pathname);
        const headers = { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" };
        if (page?.cookies.length) headers["set-cookie"] = page.cookies;
        response.writeHead(page ? 200 : 404, headers).end(page?.html ?? "");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    world.finally(async () => {
        server.closeAllConnections();
        server.close();
        await once(server, "close");
    });
    const { port } = server.address();
    let count = 0;

    const evil = {
        sibling: `http://evil.company.localhost:${port}`,
        stranger: `http://evil.company2.localhost:${port}`,
        beside: `http://evil.company3.localhost:${port}`,
        below: `http://evil.office.company3.localhost:${port}`,

        /** Publishes a page that sets these cookies (whole `Set-Cookie` lines) and returns its path. */
        page({ cookies = [], html = "<!doctype html><title>evil</title>" } = {}) {
            const path = `/${(count += 1)}`;
            pages.set(path, { cookies, html });
            return path;
        },

        /** Lures the visitor onto a page that sets these cookies, in a tab of its own. */
        async toss(visitor, cookies, html, from = evil.sibling) {
            const tab = await visitor.context.newPage();
            await tab.goto(from + evil.page({ cookies, html }));
            await tab.close();
        },

        /** Has the visitor's browser send a form somewhere, by itself, and returns the final response. */
        async post(visitor, from, action, fields = {}) {
            const tab = await visitor.context.newPage();
            const arrives = tab.waitForResponse((response) => {
                const request = response.request();
                const redirect = response.status() >= 300 && response.status() < 400;
                return request.isNavigationRequest() && !redirect && !response.url().startsWith(from);
            });
            await tab.goto(from + evil.page({ html: autoForm(action, fields) }), { waitUntil: "commit" });
            const response = await arrives;
            const outcome = { status: response.status(), hops: hops(response.request()), url: response.url() };
            await tab.close();
            return outcome;
        },

        /** Runs a script on a page of the attacker's in the visitor's browser and returns what it gives. */
        async script(visitor, from, program, argument) {
            const tab = await visitor.context.newPage();
            await tab.goto(from + evil.page());
            const result = await tab.evaluate(program, argument);
            await tab.close();
            return result;
        },
    };
    return evil;
}

/** A form that sends itself. */
export function autoForm(action, fields) {
    const inputs = Object.entries(fields).map(([name, value]) => `<input type="hidden" name="${escape(name)}" value="${escape(value)}">`);
    // On `load`, after a task: a submit before that would replace the page in history and hide it from the test.
    return `<!doctype html><title>evil</title><form method="post" action="${escape(action)}">${inputs.join("")}</form>
<script>addEventListener("load", () => setTimeout(() => document.forms[0].submit()))</script>`;
}

function hops(request) {
    let count = 0;
    for (let from = request.redirectedFrom(); from; from = from.redirectedFrom()) count += 1;
    return count;
}

function escape(text) {
    return String(text).replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
