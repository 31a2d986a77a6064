// What is remembered, for how long, and what the change stream makes doubtful (protocol §4, §5; advisory T34).

import assert from "node:assert/strict";
import { test } from "node:test";

import { apply, eventParser } from "../dist/changes.js";
import { Memory } from "../dist/memory.js";

function fixture(capacity = 100) {
  let milliseconds = 0;
  const clock = { monotonic: () => milliseconds, unixSeconds: () => 1_800_000_000 + Math.floor(milliseconds / 1000) };
  const memory = new Memory("pos", clock, capacity);
  const facts = { sessionId: "s_1", userId: "u_ana", expiresAt: 1_800_000_900 };
  const learn = (cacheFor) => memory.keep("key", facts, cacheFor, memory.startingPoint());
  return { memory, facts, learn, advance: (by) => (milliseconds += by) };
}

test("an answer is kept as long as told, and ten seconds without a stream", () => {
  const { memory, learn, advance } = fixture();
  learn(5);
  advance(4999);
  assert.ok(memory.fresh("key"));
  advance(1);
  assert.equal(memory.fresh("key"), undefined);
  learn(60);
  advance(10_000);
  assert.equal(memory.fresh("key"), undefined);
  assert.ok(memory.lastKnown("key"), "still good for asking what changed");
  learn(0);
  assert.equal(memory.fresh("key"), undefined);
});

test("with a live stream it is kept for sixty seconds at most", () => {
  const { memory, learn, advance } = fixture();
  memory.streamOpened();
  learn(600);
  for (let round = 0; round < 11; round += 1) {
    advance(5000);
    memory.streamHeard();
  }
  assert.ok(memory.fresh("key"), "55 s");
  advance(5000);
  memory.streamHeard();
  assert.equal(memory.fresh("key"), undefined, "60 s");
});

test("silence and reconnection shorten what was learned before", () => {
  const { memory, learn, advance } = fixture();
  memory.streamOpened();
  learn(60);
  advance(12_000);
  assert.equal(memory.isLive(), false);
  assert.equal(memory.fresh("key"), undefined, "twelve seconds of silence");
  memory.streamHeard();
  assert.ok(memory.isLive());
  assert.equal(memory.fresh("key"), undefined, "the silence is not undone");
  learn(60);
  advance(11_000);
  memory.streamLost();
  memory.streamOpened();
  assert.equal(memory.fresh("key"), undefined, "the new stream did not see what happened in between");
});

test("an answer asked for before a change is not kept after it, nor beyond the pass", () => {
  const { memory, facts, learn, advance } = fixture();
  const start = memory.startingPoint();
  memory.forgetWhere(() => false);
  memory.keep("key", facts, 10, start);
  assert.equal(memory.lastKnown("key"), undefined);
  advance(897_000);
  learn(10);
  advance(2000);
  assert.ok(memory.fresh("key"));
  advance(1000);
  assert.equal(memory.fresh("key"), undefined);
});

test("grace is off unless declared and ends", () => {
  const { memory, learn, advance } = fixture();
  learn(0);
  assert.equal(memory.withinGrace("key", 0), undefined);
  advance(30_000);
  assert.ok(memory.withinGrace("key", 30_000));
  advance(1);
  assert.equal(memory.withinGrace("key", 30_000), undefined);
  learn(0);
  memory.forgetWhere((facts) => facts.sessionId === "s_1");
  assert.equal(memory.withinGrace("key", 30_000), undefined, "an ended session has no grace");
});

test("a doubt about a session forgets it, also what is being asked, and nobody else", () => {
  const { memory, facts, learn, advance } = fixture();
  const other = { ...facts, sessionId: "s_2" };
  learn(60);
  memory.keep("second", facts, 60, memory.startingPoint());
  memory.keep("other", other, 60, memory.startingPoint());
  memory.doubt("s_1");
  assert.deepEqual([memory.lastKnown("key"), memory.lastKnown("second"), memory.size], [undefined, undefined, 1]);
  assert.ok(memory.fresh("other"));

  const asked = memory.startingPoint();
  advance(1);
  for (let forged = 0; forged < 5000; forged += 1) memory.doubt(`s_forged_${forged}`);
  memory.keep("other", other, 60, asked);
  assert.ok(memory.fresh("other"), "hints about nobody spoil no answer");
  memory.doubt("s_3");
  memory.keep("first of its session", { ...facts, sessionId: "s_3" }, 60, asked);
  assert.equal(memory.lastKnown("first of its session"), undefined, "being asked when the doubt came");
  memory.doubt("s_2");
  memory.keep("other", other, 60, asked);
  assert.equal(memory.lastKnown("other"), undefined, "asked before the doubt");
  advance(1);
  memory.keep("other", other, 60, memory.startingPoint());
  assert.ok(memory.fresh("other"));
});

test("what is pushed out and learned again is still found by its session", () => {
  const { memory, facts } = fixture(2);
  for (const [key, sessionId] of [["a", "s_1"], ["b", "s_2"], ["c", "s_3"], ["a", "s_1"], ["a", "s_4"]]) {
    memory.keep(key, { ...facts, sessionId }, 60, memory.startingPoint());
  }
  memory.doubt("s_1");
  assert.ok(memory.fresh("a"), "another session's by now");
  memory.doubt("s_4");
  assert.deepEqual([memory.lastKnown("a"), memory.size], [undefined, 1]);
});

test("memory is bounded, and what is used stays", () => {
  const { memory, facts } = fixture(10);
  for (let number = 0; number < 1000; number += 1) {
    memory.keep(`key ${number}`, facts, 10, memory.startingPoint());
    assert.ok(memory.fresh("key 0"));
  }
  assert.equal(memory.size, 10);
});

test("those who ask the same at once are one question, until something changes", async () => {
  const { memory } = fixture();
  let asked = 0;
  const ask = async () => ((asked += 1), await new Promise(setImmediate), []);
  const flights = [memory.fly("q", ask), memory.fly("q", ask), memory.fly("r", ask)];
  memory.forgetWhere(() => false);
  flights.push(memory.fly("q", ask));
  await Promise.all(flights);
  assert.equal(asked, 3);
  await memory.fly("q", ask);
  assert.equal(asked, 4);
});

test("events are read however they are cut", () => {
  const text = Buffer.from(': hello\n\nid: 7\nevent: session-ended\ndata: {"a":\ndata: 1}\r\n\r\nid:8\r\revent: heartbeat\n\n');
  for (let size = 1; size <= text.length; size += 1) {
    const parse = eventParser();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...parse(text.subarray(at, at + size)));
    assert.deepEqual(events, [
      { name: "session-ended", data: '{"a":\n1}', id: "7" },
      { name: "heartbeat", data: "", id: "8" },
      { name: "heartbeat", data: "", id: undefined },
    ], `cut every ${size}`);
  }
  assert.equal(eventParser()(Buffer.alloc(65 * 1024, "x")), undefined, "an endless line is given up");
});

test("each event forgets what it concerns; what is not understood forgets everything", () => {
  const left = (name, data) => {
    const { memory, facts } = fixture();
    const sessions = [["s_1", "u_ana"], ["s_2", "u_ana"], ["s_3", "u_bob"]];
    for (const [sessionId, userId] of sessions) memory.keep(sessionId, { ...facts, sessionId, userId }, 10, memory.startingPoint());
    apply({ name, data, id: undefined }, memory, undefined, () => {});
    return sessions.map(([id]) => id).filter((id) => memory.fresh(id)).join(" ");
  };
  const both = '{"subject":{"sid":"s_1","sub":"u_ana"},"event_timestamp":1}';
  const user = '{"subject":{"sub":"u_ana"},"event_timestamp":1}';
  for (const [name, data, expected] of [
    ["session-ended", both, "s_2 s_3"], ["session-changed", both, "s_2 s_3"], ["session-ended", user, "s_3"],
    ["permissions-changed", user, "s_3"], ["permissions-changed", both, "s_3"], ["user-disabled", user, "s_3"],
    ["keys-rotated", "{}", "s_1 s_2 s_3"], ["heartbeat", "", "s_1 s_2 s_3"], ["an-event-of-the-future", user, "s_3"],
    ["reset", "{}", ""], ["session-ended", "{}", ""], ["session-ended", "not JSON", ""], ["session-ended", '{"subject":{}}', ""],
    ["permissions-changed", '{"subject":{"sub":7}}', ""], ["permissions-changed", "null", ""], ["", "x", ""],
  ]) {
    assert.equal(left(name, data), expected, `${name} ${data}`);
  }
});

test("the position follows the ids", () => {
  const { memory } = fixture();
  const after = (name, id, cursor) => apply({ name, data: "", id }, memory, cursor, () => {});
  assert.equal(after("heartbeat", "9", undefined), "9");
  assert.equal(after("heartbeat", undefined, "9"), "9");
  assert.equal(after("heartbeat", "1".repeat(300), "9"), "9");
  assert.equal(after("reset", undefined, "9"), undefined);
  assert.equal(after("reset", "12", "9"), "12");
});
