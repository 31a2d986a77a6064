// The engine's walks through several zones, after signing in and after signing out (protocol §8, §9): every step reports back.

import type { Setup } from "../options.js";

/** Where the engine goes on. */
export function chainUrl(setup: Setup, path: "/handoff/next" | "/sign-out/next", chain: string): string {
  return `${setup.engine.public.text}${path}?${new URLSearchParams({ chain }).toString()}`;
}
