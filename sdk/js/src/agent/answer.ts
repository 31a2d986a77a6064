// The agent's addresses (protocol §1, §8, §9): matched before anything of the application's, for visitors of every kind.

import type { Setup } from "../options.js";
import * as pages from "../pages.js";
import type { Asked } from "../request.js";
import { signOut } from "../signout.js";
import type { Visit } from "../visit.js";
import { callback } from "./callback.js";
import { isNavigation } from "./navigation.js";
import { about, NOT_A_NAVIGATION, WRONG_METHOD } from "./pages.js";
import { ABOUT_PATH, AGENT_PATHS } from "./paths.js";
import { start } from "./start.js";
import { sync } from "./sync.js";

/** Answers a request to one of them, whose origin has been checked already. */
export async function answerAgent(setup: Setup, visit: Visit, asked: Asked): Promise<pages.Answer> {
  if (visit.path === ABOUT_PATH) {
    if (!["GET", "HEAD"].includes(asked.method)) return not("GET, HEAD", WRONG_METHOD, visit);
    return about(setup.engine.public.text, setup.appKey);
  }
  const name = visit.path.slice(AGENT_PATHS.length);
  if (name === "sign-out") {
    return asked.method === "POST" ? signOut(setup, visit, asked) : not("POST", pages.METHOD_NOT_ALLOWED, visit);
  }
  if (name !== "start" && name !== "callback" && name !== "sync") return pages.refuse(pages.NOT_FOUND, visit.page);
  if (asked.method !== "GET") return not("GET", WRONG_METHOD, visit);
  if (!isNavigation(asked.headers)) {
    setup.log("info", "refused: not a navigation of a window", { path: visit.path });
    return pages.refuse(NOT_A_NAVIGATION, visit.page);
  }
  if (name === "start") return start(setup, visit, asked);
  return name === "callback" ? callback(setup, visit, asked) : sync(setup, asked);
}

function not(allowed: string, refusal: pages.Refusal, visit: Visit): pages.Answer {
  return pages.withHeader(pages.refuse(refusal, visit.page), "Allow", allowed);
}
