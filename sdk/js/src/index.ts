// What an application imports: the SDK's public names, each from the file that explains it.

export { Hallpass } from "./hallpass.js";
export type { Options } from "./options.js";
export { Caller } from "./caller.js";
export { callerOf, signInUrlOf } from "./visitor.js";
export { fromCommand, fromEnv, fromFile, SecretKey } from "./secret.js";
export type { Clock } from "./clock.js";
export type { Log } from "./log.js";
export type { NodeHandler, NodeMiddleware } from "./express.js";
export type { FetchHandler } from "./fetch.js";
export type { Asked } from "./request.js";
export type { Outcome, Admitted } from "./core.js";
export { AssertionRefused, SeenAssertions, verifyAssertion } from "./assertion.js";
export type { Assertion, AssertionExpectations, RefusalReason } from "./assertion.js";
export type { Answer } from "./pages.js";
