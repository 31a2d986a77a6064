// Where an agent answers (protocol §1): fixed, never sent by callers.

/** All but one of its addresses begin so. */
export const AGENT_PATHS = "/.sso/";
export const ABOUT_PATH = "/.well-known/sso-agent";
export const BACKCHANNEL_PATH = "/.sso/backchannel";

/** Whether the agent answers there, and not the application. */
export function isAgentPath(path: string): boolean {
  return path.startsWith(AGENT_PATHS) || path === ABOUT_PATH;
}
