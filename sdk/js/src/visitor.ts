// What the application finds out about a request that was let through: kept beside the request, where no header can reach it.

import type { Caller } from "./caller.js";
import * as pages from "./pages.js";

/** What is known of whoever sent an admitted request. */
export interface Visitor {
  /** Undefined for an anonymous visitor, on paths declared optional. */
  readonly caller: Caller | undefined;
  /** Where they can sign in, with the way back to the present page: for a "Sign in" link. */
  readonly signInUrl: string;
  readonly navigation: boolean;
  readonly page: boolean;
  readonly realm: string;
}

/** The signed-in person who sent `request` (a node:http or fetch request); undefined for anonymous visitors. */
export function callerOf(request: object): Caller | undefined {
  return visitorOf(request)?.caller;
}

/** Where the sender of `request` can sign in and come back. */
export function signInUrlOf(request: object): string | undefined {
  return visitorOf(request)?.signInUrl;
}

const visitors = new WeakMap<object, Visitor>();

/** Remembers who sent an admitted request, as long as the request lives. */
export function introduce(request: object, visitor: Visitor): void {
  visitors.set(request, visitor);
}

/** What is known; undefined if the SDK does not cover this request. */
export function visitorOf(request: object): Visitor | undefined {
  return visitors.get(request);
}

/** Why this visitor may not do what needs `permission`; undefined if they may. */
export function refusalFor(visitor: Visitor, permission: string): pages.Answer | undefined {
  if (visitor.caller) return visitor.caller.may(permission) ? undefined : pages.refuse(pages.NOT_PERMITTED, visitor.page);
  return visitor.navigation ? pages.redirect(visitor.signInUrl) : pages.loginRequired(visitor.signInUrl, visitor.realm);
}
