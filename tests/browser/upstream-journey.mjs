// Journeys by way of a provider: an engine with one upstream, and what people do at that upstream's own page.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startServe } from "./engine.mjs";
import { journey } from "./harness.mjs";
import { startProvider } from "./provider.mjs";

export const MIA = { name: "Mia Berg", preferred_username: "mia", email: "mia@partner.com", email_verified: true, groups: ["Sales"] };

/** A journey whose engine has a provider called `partner`, `world.provider`: npm oidc-provider, unless `startThere` starts another. */
export function upstreamJourney(name, body, { provider: options = {}, configure = () => "", startThere = startProvider } = {}) {
    let provider;
    const start = async () => {
        const configured = async (url, scratch) => {
            provider = await startThere(url, "partner", { claims: () => MIA, ...options });
            const secret = join(scratch, "client.secret");
            writeFileSync(secret, provider.secret);
            return `
                [[upstream.oidc]]
                name = "partner"
                label = "Partner account"
                issuer = "${provider.issuer}"
                client_id = "${provider.client}"
                client_secret = { file = "${secret}" }
                create_users = true
                groups = { map = { Sales = "sales", Admins = "admins" } }
                ${configure(provider.issuer, secret)}
            `;
        };
        const engine = await startServe({ configured });
        await engine.hallpass("group", "add", "sales");
        await engine.apply(`
            [apps.wiki]
            name = "Wiki"
            access = "everyone"
            origins = ["${engine.engine.replace("//auth.", "//wiki.")}"]
        `);
        return engine;
    };
    journey(
        name,
        async (world) => {
            world.provider = provider;
            world.finally(() => provider.stop());
            await body(world);
        },
        { start },
    );
}

/** What somebody does at the provider's own page. */
export async function signInThere(visitor, sub, issuer) {
    const { page } = visitor;
    await visitor.reaches(new RegExp(`^${issuer}/interaction/`));
    await page.getByLabel("Who are you?").fill(sub);
    await page.getByRole("button", { name: "Go on" }).click();
}
