// The only file that reads a clock: everything else is told what time it is, so tests can stand anywhere in time.

/** Where the SDK reads the time. */
export interface Clock {
  /** Milliseconds since some fixed moment; never steps back. For ages. */
  readonly monotonic: () => number;
  /** Seconds since 1970-01-01T00:00:00Z. For what outlives the process: cookies and tokens. */
  readonly unixSeconds: () => number;
  /** Does something later, unless what is returned is called before. Default: an ordinary timer, which keeps no process alive. */
  readonly after?: ((milliseconds: number, act: () => void) => () => void) | undefined;
}

/** The machine's clocks. */
export const systemClock: Clock = {
  monotonic: () => performance.now(),
  unixSeconds: () => Math.floor(Date.now() / 1000),
};

/** Does something later, by this clock. */
export function later(clock: Clock, milliseconds: number, act: () => void): () => void {
  if (clock.after) return clock.after(milliseconds, act);
  const timer = setTimeout(act, milliseconds).unref();
  return () => clearTimeout(timer);
}
