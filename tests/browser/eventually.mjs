// Waiting for a condition, with a bound: the only way in which journeys wait.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

/** Probes until the answer is yes; fails when it still is no after so many milliseconds. `what` is a text or makes one. Returns how long it took. */
export async function eventually(what, milliseconds, probe) {
    const began = Date.now();
    while (!(await probe())) {
        if (Date.now() - began >= milliseconds) assert.fail(`${typeof what === "string" ? what : what()} within ${milliseconds} ms`);
        // The engine and the browser share this machine's cores with us.
        await pause(20);
    }
    return Date.now() - began;
}
