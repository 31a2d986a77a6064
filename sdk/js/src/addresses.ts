// Where people are sent, always with the way back to our own origin (protocol §6, §8, §9, §12).

import type { Setup } from "./options.js";

/** Where to sign in and come back to `destination`: at the engine, or at our own agent, which asks the engine. */
export function signInUrl(setup: Setup, destination: string): string {
  return setup.agent ? startUrl(setup, destination) : homeSignInUrl(setup, destination);
}

/** Where to fetch a new pass for the session at home, or to sign in if there is none. */
export function refreshUrl(setup: Setup, destination: string): string {
  return setup.agent ? startUrl(setup, destination) : engineUrl(setup, "/pass/refresh", destination);
}

/** The engine's form, which comes back to `destination`. */
export function homeSignInUrl(setup: Setup, destination: string): string {
  return engineUrl(setup, "/sign-in", destination);
}

/** Where the engine sends a handoff's code: derived, never taken from a caller. */
export function redirectUri(setup: Setup): string {
  return `${setup.origin.text}/.sso/callback`;
}

/** Where to sign out by hand. */
export function signOutUrl(setup: Setup): string {
  return engineUrl(setup, "/sign-out", setup.afterSignOut ?? "/");
}

function startUrl(setup: Setup, destination: string): string {
  return `${setup.origin.text}/.sso/start?${new URLSearchParams({ r: destination }).toString()}`;
}

function engineUrl(setup: Setup, path: string, destination: string): string {
  const query = new URLSearchParams({ app: setup.appKey, return_to: setup.origin.text + destination });
  return `${setup.engine.public.text}${path}?${query.toString()}`;
}
