// The browsers: Chromium as it comes, and Firefox with the protection against trackers that it calls strict. Both are the packages of
// the system, headless, each run of Firefox with a profile of its own.

import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium, firefox } from "playwright-core";
import { scratch } from "./engine.mjs";

const CHROMIUM = {
    executablePath: process.env.HALLPASS_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-quic", "--disable-background-networking"],
};

const FIREFOX = {
    executablePath: process.env.HALLPASS_FIREFOX ?? "/usr/bin/firefox-esr",
    // Playwright's name for a Firefox that is not patched for it, driven by WebDriver BiDi.
    channel: "moz-firefox",
    firefoxUserPrefs: {
        // What Settings > Privacy > Strict sets.
        "browser.contentblocking.category": "strict",
        "privacy.trackingprotection.enabled": true,
        "privacy.trackingprotection.socialtracking.enabled": true,
        "privacy.trackingprotection.emailtracking.enabled": true,
        "privacy.annotate_channels.strict_list.enabled": true,
        "privacy.fingerprintingProtection": true,
        "privacy.query_stripping.enabled": true,
        "network.cookie.cookieBehavior": 5,
        "network.http.referer.disallowCrossSiteRelaxingDefault": true,
        "network.http.referer.disallowCrossSiteRelaxingDefault.top_navigation": true,
        "privacy.bounceTrackingProtection.mode": 1,
    },
};

const shared = new Map();

/** One run of this browser serves all contexts that ask for nothing special. */
async function run(name) {
    if (!shared.has(name)) shared.set(name, name === "firefox" ? firefox.launch(FIREFOX) : chromium.launch(CHROMIUM));
    return shared.get(name);
}

/** When no journey needs them any more. */
export async function closeBrowsers() {
    for (const browser of shared.values()) await (await browser).close();
}

/**
 * A context that shares nothing with others. `blocked`: an origin whose cookies its settings block, there and at every host below.
 * `preferences`: of Firefox, beside those of every Firefox here. `unresolved`: a host that has no address for Chromium.
 */
export async function openContext(name, { blocked, preferences, unresolved, ...options }) {
    if (!blocked && !preferences && !unresolved) return (await run(name)).newContext(options);
    const profile = mkdtempSync(join(scratch(), "profile-"));
    if (name === "firefox") {
        const firefoxUserPrefs = { ...FIREFOX.firefoxUserPrefs, ...preferences };
        if (blocked) {
            const file = join(profile, "exceptions");
            writeFileSync(file, `origin\tcookie\t2\t${blocked}\n`);
            firefoxUserPrefs["permissions.manager.defaultsUrl"] = pathToFileURL(file).href;
        }
        return firefox.launchPersistentContext(profile, { ...FIREFOX, ...options, firefoxUserPrefs });
    }
    if (blocked) {
        const cookies = { [`[*.]${new URL(blocked).hostname},*`]: { setting: 2 } };
        mkdirSync(join(profile, "Default"));
        const preferences = { profile: { content_settings: { exceptions: { cookies } } } };
        writeFileSync(join(profile, "Default", "Preferences"), JSON.stringify(preferences));
    }
    const args = unresolved ? [...CHROMIUM.args, `--host-resolver-rules=MAP ${unresolved} ~NOTFOUND`] : CHROMIUM.args;
    return chromium.launchPersistentContext(profile, { ...CHROMIUM, ...options, args });
}
