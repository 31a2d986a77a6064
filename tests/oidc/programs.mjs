// Other people's programs as processes of this journey: ended with it, and with their last words kept for when something fails.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { eventually } from "../browser/harness.mjs";

/** How long one may take until it serves, in milliseconds: Python reads a thousand files first. */
const STARTS = 60_000;

/** Starts it, and waits until `probe` answers well. `options`: of `spawn`. Returns what it has said so far. */
export async function startProgram({ finally: atTheEnd }, name, [program, ...words], options, probe) {
    let said = "";
    const child = spawn(program, words, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (said = (said + bytes).slice(-16_000)));
    child.once("error", (error) => (said += error));
    const over = () => child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
    atTheEnd(async () => {
        if (over()) return;
        const ended = once(child, "exit");
        child.kill("SIGTERM");
        const insist = setTimeout(() => child.kill("SIGKILL"), 10_000);
        await ended;
        clearTimeout(insist);
    });
    await eventually(() => `${name} serves\n${said}`, STARTS, async () => {
        assert.ok(!over(), `${name} has ended\n${said}`);
        return (await fetch(probe).catch(() => ({}))).ok;
    });
    return () => said;
}
