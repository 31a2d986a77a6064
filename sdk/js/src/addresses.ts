// Where at the engine people are sent, always with the way back to our own origin (protocol §6, §9, §12).

import type { Setup } from "./options.js";

/** Where to sign in and come back to `destination`. */
export function signInUrl(setup: Setup, destination: string): string {
  return engineUrl(setup, "/sign-in", destination);
}

/** Where to fetch a new pass for the session at home, or to sign in if there is none. */
export function refreshUrl(setup: Setup, destination: string): string {
  return engineUrl(setup, "/pass/refresh", destination);
}

/** Where to sign out by hand. */
export function signOutUrl(setup: Setup): string {
  return engineUrl(setup, "/sign-out", setup.afterSignOut);
}

function engineUrl(setup: Setup, path: string, destination: string): string {
  const query = new URLSearchParams({ app: setup.appKey, return_to: setup.origin.text + destination });
  return `${setup.engine.public.text}${path}?${query.toString()}`;
}
