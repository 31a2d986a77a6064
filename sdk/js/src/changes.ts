// Listening to what changes (protocol §5; server-sent events, WHATWG HTML §9.2): whoever signs out or loses a role is forgotten
// within a second.

import type { IncomingMessage } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

import { type Engine, isAway } from "./engine.js";
import type { Log } from "./log.js";
import { type Memory, SILENCE_MILLISECONDS } from "./memory.js";

const FIRST_PAUSE_MILLISECONDS = 200;
const LONGEST_PAUSE_MILLISECONDS = 15_000;
const LONGEST_LINE = 64 * 1024;
const LONGEST_CURSOR = 256;

/** One event. */
export interface ChangeEvent {
  readonly name: string;
  readonly data: string;
  readonly id: string | undefined;
}

/** Listens until `stop`, reconnecting where it left off. */
export async function listen(engine: Engine, memory: Memory, log: Log, stop: AbortSignal): Promise<void> {
  let cursor: string | undefined;
  let wait = FIRST_PAUSE_MILLISECONDS;
  while (!stop.aborted) {
    const response = await engine.changes(cursor, stop);
    // What went wrong was said by whoever found out. A wrong secret is retried too: somebody may be correcting it.
    if (!isAway(response)) {
      wait = FIRST_PAUSE_MILLISECONDS;
      memory.streamOpened();
      const reason = await follow(response, memory, (event) => {
        cursor = apply(event, memory, cursor, log);
      });
      memory.streamLost();
      if (!stop.aborted) log("info", "the change stream ended; answers are kept for ten seconds at most", { reason });
    } else {
      memory.streamLost();
    }
    // Half to all of the pause, so that the apps of a restarted engine do not all return at once.
    await pause(wait * (0.5 + Math.random() / 2), undefined, { ref: false, signal: stop }).catch(() => {});
    wait = Math.min(wait * 2, LONGEST_PAUSE_MILLISECONDS);
  }
}

/**
 * Forgets what `event` makes doubtful and returns the position to resume from. What cannot be understood makes
 * everything doubtful: a needless question costs less than a missed sign-out.
 */
export function apply(event: ChangeEvent, memory: Memory, cursor: string | undefined, log: Log): string | undefined {
  const position = event.id !== undefined && event.id.length <= LONGEST_CURSOR ? event.id : undefined;
  // Passes are checked by the engine; this SDK holds no keys.
  if (event.name === "heartbeat" || event.name === "keys-rotated") return position ?? cursor;
  if (event.name === "reset") {
    memory.forgetWhere(() => true);
    // The old position is too old, or of another history: not to be shown again.
    return position;
  }
  const subject = subjectOf(event.data);
  if (!subject) {
    log("info", "a change that names nobody: everything is forgotten", { event: event.name });
    memory.forgetWhere(() => true);
  } else if (subject.sid !== undefined && (event.name === "session-ended" || event.name === "session-changed")) {
    memory.forgetWhere((facts) => facts.sessionId === subject.sid);
  } else {
    memory.forgetWhere((facts) => facts.userId === subject.sub || facts.sessionId === subject.sid);
  }
  return position ?? cursor;
}

/** Cuts bytes into events; returns undefined after a line longer than any event. */
export function eventParser(): (bytes: Uint8Array) => ChangeEvent[] | undefined {
  let line: number[] = [];
  let afterReturn = false;
  let name = "";
  let data: string | undefined;
  let id: string | undefined;

  const endOfLine = (): ChangeEvent | undefined => {
    const text = Buffer.from(line).toString("utf8");
    line = [];
    if (text === "") {
      // An id alone moves the position, too.
      const event = { name: name || (data ? "" : "heartbeat"), data: data ?? "", id };
      const said = name !== "" || (data ?? "") !== "" || id !== undefined;
      name = "";
      data = undefined;
      id = undefined;
      return said ? event : undefined;
    }
    const colon = text.indexOf(":");
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (field === "event") name = value;
    if (field === "data") data = data ? `${data}\n${value}` : value;
    if (field === "id" && !value.includes("\0")) id = value || undefined;
    // Comments, which begin with a colon, and fields of the future say nothing.
    return undefined;
  };

  return (bytes) => {
    const events: ChangeEvent[] = [];
    for (const byte of bytes) {
      // A line ends with CR, LF or both.
      if (byte === 0x0a && afterReturn) {
        afterReturn = false;
      } else if (byte === 0x0a || byte === 0x0d) {
        afterReturn = byte === 0x0d;
        const event = endOfLine();
        if (event) events.push(event);
      } else {
        afterReturn = false;
        line.push(byte);
        if (line.length + (data?.length ?? 0) > LONGEST_LINE) return undefined;
      }
    }
    return events;
  };
}

/** Applies events until the stream ends; says why it did. */
async function follow(stream: IncomingMessage, memory: Memory, applyEvent: (event: ChangeEvent) => void): Promise<string> {
  const parse = eventParser();
  let silent = false;
  const silence = setTimeout(() => {
    silent = true;
    stream.destroy();
  }, SILENCE_MILLISECONDS).unref();
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      silence.refresh();
      memory.streamHeard();
      const events = parse(chunk);
      if (!events) return "a line without end";
      events.forEach(applyEvent);
    }
    return silent ? "no heartbeat" : "closed by the engine";
  } catch {
    return silent ? "no heartbeat" : "connection lost";
  } finally {
    clearTimeout(silence);
  }
}

/** Whom an event concerns, as CAEP names it; undefined if that cannot be told. */
function subjectOf(data: string): { readonly sid: string | undefined; readonly sub: string | undefined } | undefined {
  const optional = (value: unknown): value is string | undefined => value === undefined || typeof value === "string";
  try {
    const subject: unknown = JSON.parse(data)?.subject;
    if (typeof subject !== "object" || subject === null) return undefined;
    const { sid, sub } = subject as Record<string, unknown>;
    const [session, user] = [sid ?? undefined, sub ?? undefined];
    if (!optional(session) || !optional(user) || (session === undefined && user === undefined)) return undefined;
    return { sid: session, sub: user };
  } catch {
    return undefined;
  }
}
