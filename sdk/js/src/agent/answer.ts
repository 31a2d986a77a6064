// The agent's addresses (protocol §1, §8, §9): matched before anything of the application's, for visitors of every kind.

import type { Setup } from "../options.js";
import * as pages from "../pages.js";
import type { Asked } from "../request.js";
import { signOut } from "../signout.js";
import { type Visit, fillsWindow } from "../visit.js";
import { callback } from "./callback.js";
import { about, FOR_READING, WINDOWS_ONLY } from "./pages.js";
import type { Endpoint } from "./paths.js";
import { start } from "./start.js";
import { sync } from "./sync.js";

/** Answers a request to one of them, whose origin has been checked already. */
export async function answerAgent(setup: Setup, endpoint: Endpoint, visit: Visit, asked: Asked): Promise<pages.Answer> {
  if (endpoint === "sign-out") {
    return asked.method === "POST" ? signOut(setup, visit, asked) : not("POST", pages.METHOD_NOT_ALLOWED, visit);
  }
  if (endpoint === "about") {
    const reading = ["GET", "HEAD"].includes(asked.method);
    return reading ? about(setup.engine.public.text, setup.appKey) : not("GET", FOR_READING, visit);
  }
  if (asked.method !== "GET") return not("GET", FOR_READING, visit);
  if (!fillsWindow(asked.headers)) {
    setup.log("info", "refused: not a navigation of a window", { path: visit.path });
    return pages.refuse(WINDOWS_ONLY, visit.page);
  }
  if (endpoint === "start") return start(setup, visit, asked);
  return endpoint === "callback" ? callback(setup, visit, asked) : sync(setup, asked);
}

function not(allowed: string, refusal: pages.Refusal, visit: Visit): pages.Answer {
  return pages.withHeader(pages.refuse(refusal, visit.page), "Allow", allowed);
}
