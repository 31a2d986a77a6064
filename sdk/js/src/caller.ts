// Who is calling: what introspection said about a live session, handed to the application (protocol §4).

import { inspect } from "node:util";

/** The facts of one active answer, without anything about how it was obtained. Shared between requests, hence frozen. */
export interface Facts {
  readonly userId: string;
  readonly username: string;
  readonly name: string | undefined;
  readonly sessionId: string;
  readonly roles: readonly string[];
  /** Sorted. */
  readonly permissions: readonly string[];
  readonly acr: string;
  readonly amr: readonly string[];
  readonly authenticatedAt: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly csrfToken: string | undefined;
  /** When this pass was issued: tells the newest of several. */
  readonly issuedAt: number;
  /** When this pass ends. */
  readonly expiresAt: number;
  /** To ask whether anything has changed. */
  readonly version: string | undefined;
}

/** The signed-in person who sent this request, and what they may do in this app. */
export class Caller {
  readonly #facts: Facts;

  constructor(facts: Facts) {
    this.#facts = facts;
  }

  /** The user's identifier, `u_…`; never reused, the right key for an application's own tables. */
  get userId(): string {
    return this.#facts.userId;
  }

  /** The name they sign in with; it may change. */
  get username(): string {
    return this.#facts.username;
  }

  /** What to call them: their display name, or the name they sign in with. */
  get name(): string {
    return this.#facts.name ?? this.#facts.username;
  }

  /** The session's identifier, `s_…`; the same in every app of the zone. No secret. */
  get sessionId(): string {
    return this.#facts.sessionId;
  }

  /** Their roles in this app. */
  get roles(): readonly string[] {
    return this.#facts.roles;
  }

  /** Their permissions in this app, sorted. */
  get permissions(): readonly string[] {
    return this.#facts.permissions;
  }

  /** Whether they hold `permission` in this app. Exact; there are no wildcards. */
  may(permission: string): boolean {
    return this.#facts.permissions.includes(permission);
  }

  /** How strongly they signed in: `aal1`, `aal2`. */
  get acr(): string {
    return this.#facts.acr;
  }

  /** By which methods they signed in (RFC 8176), such as `pwd`, `otp`. */
  get amr(): readonly string[] {
    return this.#facts.amr;
  }

  /** When they last proved who they are, in seconds since 1970-01-01T00:00:00Z. */
  get authTime(): number {
    return this.#facts.authenticatedAt;
  }

  /** Further attributes that this app is told. */
  get attributes(): Readonly<Record<string, unknown>> {
    return this.#facts.attributes;
  }

  /** For a form's hidden field `csrf_token` or a script's header `x-csrf-token`; bound to session and app. */
  get csrfToken(): string | undefined {
    return this.#facts.csrfToken;
  }

  /** What may be shown: everything but the CSRF token. */
  toJSON(): Record<string, unknown> {
    const { userId, username, name, sessionId, roles, permissions } = this;
    return { userId, username, name, sessionId, roles, permissions };
  }

  [inspect.custom](): string {
    return `Caller ${JSON.stringify(this)}`;
  }
}
