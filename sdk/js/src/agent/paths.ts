// Where an agent answers (protocol §1): fixed, never sent by callers.

export const BACKCHANNEL_PATH = "/.sso/backchannel";

/** One of its addresses. */
export type Endpoint = "start" | "callback" | "sign-out" | "sync" | "about";

/** The address that `path` names, byte for byte; the application may have others beside them. */
export function endpointAt(path: string): Endpoint | undefined {
  return ENDPOINTS.get(path);
}

const ENDPOINTS: ReadonlyMap<string, Endpoint> = new Map([
  ["/.sso/start", "start"],
  ["/.sso/callback", "callback"],
  ["/.sso/sign-out", "sign-out"],
  ["/.sso/sync", "sync"],
  ["/.well-known/sso-agent", "about"],
]);
