import { startAlias } from "./faults.mjs";
import { journey } from "./harness.mjs";
import { backAgain } from "./zones.mjs";
journey("timeline", async (world) => {
    const { demo } = world;
    const alias = await startAlias(world, "sso.company2.localhost");
    const ana = await backAgain(world, { alias: alias.origin });
    await alias.falls("says that it is there, and never answers beyond that");
    const t0 = Date.now(); const log = (...a) => console.log(Date.now() - t0, ...a);
    ana.page.on("request", (r) => log("req", r.url().slice(0, 70)));
    ana.page.on("response", (r) => log("res", r.status(), r.url().slice(0, 70)));
    ana.page.on("framenavigated", (f) => log("nav", f.url().slice(0, 70)));
    const b = await ana.fillIn("ana");
    log("click");
    b.click({ noWaitAfter: true }).then(() => log("clicked"));
    for (let i = 0; i < 40; i++) {
        const began = Date.now();
        const r = await Promise.race([ana.page.evaluate(() => location.href.slice(0, 60) + document.readyState + !!document.querySelector("[data-testid=skip]")).catch(e => e.message.slice(0, 80)), new Promise(r => setTimeout(r, 300, "slow"))]);
        log("eval", Date.now() - began, r);
        await new Promise(r => setTimeout(r, 150));
        if (ana.page.url().includes("cashier.company.localhost")) break;
    }
});
