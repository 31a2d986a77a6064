// The only file that reads a clock: everything else is told what time it is, so tests can stand anywhere in time.

/** Where the SDK reads the time. */
export interface Clock {
  /** Milliseconds since some fixed moment; never steps back. For ages. */
  readonly monotonic: () => number;
  /** Seconds since 1970-01-01T00:00:00Z. For what outlives the process: cookies and tokens. */
  readonly unixSeconds: () => number;
}

/** The machine's clocks. */
export const systemClock: Clock = {
  monotonic: () => performance.now(),
  unixSeconds: () => Math.floor(Date.now() / 1000),
};
