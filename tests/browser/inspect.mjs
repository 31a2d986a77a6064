// How a page is looked at: on a narrow screen and a wide one, by axe, by the Tab key, and by whoever opens the photographs in artifacts/look.

import assert from "node:assert/strict";
import axe from "axe-core";
import { look } from "./harness.mjs";

const NARROW = { width: 360, height: 740 };
const WIDE = { width: 1280, height: 800 };

/** axe's findings that keep somebody out. */
async function barriers(page, accepted) {
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    return violations
        .filter(({ id, impact }) => !accepted.includes(id) && (impact === "serious" || impact === "critical"))
        .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).join(" | ").slice(0, 400)}`);
}

/** Looks at the page that is open: narrow and wide, for barriers beyond those accepted, and for a scroll bar at the bottom. */
export async function inspect(visitor, name, scheme, accepted = []) {
    const { page } = visitor;
    for (const [size, viewport] of [["narrow", NARROW], ["wide", WIDE]]) {
        await page.setViewportSize(viewport);
        await visitor.photograph(look(`${name}-${scheme}-${size}`));
        const [scrollWidth, clientWidth] = await page.evaluate(() => {
            const { scrollWidth, clientWidth } = document.documentElement;
            return [scrollWidth, clientWidth];
        });
        assert.ok(scrollWidth <= clientWidth, `${name} is ${scrollWidth} wide on a screen of ${clientWidth}`);
        assert.deepEqual(await barriers(page, accepted), [], `${name}, ${scheme}, ${size}`);
    }
    assert.notEqual(await page.title(), "", `${name} has a title`);
    assert.equal(await page.locator("html").getAttribute("lang"), "en");
    assert.equal(await page.getByRole("heading", { level: 1 }).count(), 1, `${name} has one main heading`);
}

/** Waits for the page to put the cursor into this field, which it does by itself when it is drawn, a moment after it is there. */
export async function focused(field) {
    await field.and(field.page().locator(":focus")).waitFor({ timeout: 5_000 });
}

/** Presses Tab until this element has the focus, and insists that one can see that it has. */
export async function tabTo(page, testid) {
    const target = page.getByTestId(testid);
    for (let presses = 0; presses < 40; presses += 1) {
        await page.keyboard.press("Tab");
        if (await target.evaluate((element) => element === document.activeElement)) {
            const { outline, shadow } = await target.evaluate((element) => {
                const style = getComputedStyle(element);
                return { outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth), shadow: style.boxShadow };
            });
            assert.ok(outline >= 1 || shadow !== "none", `${testid} shows that it has the focus`);
            return;
        }
    }
    assert.fail(`${testid} cannot be reached with the Tab key`);
}
