// Hallpass: one application's connection to its engine, shared by every adapter made from it (protocol §2 to §9).

import { listen } from "./changes.js";
import { type Outcome, handle } from "./core.js";
import { type NodeMiddleware, nodeMiddleware, nodeRequire } from "./express.js";
import { type FetchHandler, fetchAdapter, fetchRequire } from "./fetch.js";
import { type Options, type Setup, setUp } from "./options.js";
import type { Asked } from "./request.js";

/** One application's connection to its engine. Make one per process. */
export class Hallpass {
  readonly #setup: Setup;
  readonly #stop = new AbortController();

  /** Throws an error that names the mistake, if there is one in the options. Does not wait for the engine. */
  constructor(options: Options) {
    this.#setup = setUp(options);
    const { engine, memory, log } = this.#setup;
    listen(engine, memory, log, this.#stop.signal).catch(() => {
      log("error", "listening for changes has ended; answers are kept for ten seconds at most", {});
    });
  }

  /** A middleware for Express, Connect and plain node:http: lets nobody past whom the engine does not know. */
  express(): NodeMiddleware {
    return nodeMiddleware(this.#setup);
  }

  /** A middleware for routes that need a permission, behind {@link express}. */
  require(permission: string): NodeMiddleware {
    return nodeRequire(this.#setup, permission);
  }

  /** Puts itself around a fetch-style handler (Hono, Next, Bun, Deno): lets nobody past whom the engine does not know. */
  fetchHandler<Rest extends unknown[]>(handler: FetchHandler<Rest>): (request: Request, ...rest: Rest) => Promise<Response> {
    return fetchAdapter(this.#setup, handler);
  }

  /** Puts itself around a fetch-style handler that needs a permission, inside {@link fetchHandler}. */
  requireFetch<Rest extends unknown[]>(
    permission: string,
    handler: FetchHandler<Rest>,
  ): (request: Request, ...rest: Rest) => Promise<Response> {
    return fetchRequire(this.#setup, permission, handler);
  }

  /**
   * The core on which the adapters stand, for `upgrade` listeners and servers of another kind. Whoever calls it sends the
   * answer or goes on with the visitor and adds the cookies, and takes `x-hallpass-…` headers out of what goes on.
   */
  handle(asked: Asked): Promise<Outcome> {
    return handle(this.#setup, asked);
  }

  /** Whether the engine is reporting changes right now. While it is not, answers are kept for ten seconds at most. */
  get hearsChanges(): boolean {
    return this.#setup.memory.isLive();
  }

  /** Stops listening for changes, gives up sign-outs that the engine has not heard of, and lets go of connections. */
  close(): void {
    this.#stop.abort();
    this.#setup.retries.close();
    this.#setup.engine.close();
  }
}
