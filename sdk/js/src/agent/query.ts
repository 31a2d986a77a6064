// What comes in the query of an agent's addresses: each parameter once, and nothing that the engine would not send.

import { type Asked, pathAndQuery } from "../request.js";

/** No value that an agent hands on is longer. */
const LONGEST = 2000;

/** The values of a query. */
export class Query {
  readonly #values: URLSearchParams;

  constructor(asked: Asked) {
    const target = pathAndQuery(asked.target);
    const at = target.indexOf("?");
    this.#values = new URLSearchParams(at < 0 ? "" : target.slice(at + 1));
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The value; undefined if it is missing, comes twice (who reads which?), or is longer than any that is handed on. */
  one(name: string, longest = LONGEST): string | undefined {
    const [value, ...others] = this.#values.getAll(name);
    return others.length === 0 && value !== undefined && value.length <= longest ? value : undefined;
  }

  /** The engine's name for a chain. */
  chain(): string | undefined {
    const chain = this.one("chain");
    return chain !== undefined && /^[A-Za-z0-9_.-]+$/.test(chain) ? chain : undefined;
  }
}
