// What the environment says: where this app is, and where its engine is.

const REQUIRED = {
  ENGINE: "the engine's public address, such as http://auth.company.localhost:7070",
  APP_KEY: "this app's key at the engine, such as express",
  SECRET_KEY: "its secret key, which begins with hp_sk_",
  ORIGIN: "how browsers reach this app, such as http://pos.company2.localhost:7080",
  PORT: "the port to listen on, such as 7080",
};

/** The settings, or an error that names everything that is missing. */
export function settingsFrom(environment) {
  const missing = Object.keys(REQUIRED).filter((name) => !environment[name]);
  if (missing.length > 0) {
    const list = missing.map((name) => `  ${name.padEnd(10)}  ${REQUIRED[name]}`).join("\n");
    throw new Error(`These environment variables are missing:\n\n${list}\n\n\`hallpass demo --express\` prints a line that sets them all. README.md has the commands.`);
  }
  const { ENGINE: engine, APP_KEY: appKey, SECRET_KEY: secretKey, ORIGIN: origin, PORT: port, CONNECT_TO: connectTo } = environment;
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) throw new Error(`PORT must be a number from 0 to 65535; it reads ${JSON.stringify(port)}`);
  return { engine, appKey, secretKey, origin, port: Number(port), connectTo: connectTo || onThisMachine(engine) };
}

/** Browsers find every name under `.localhost` on this machine (RFC 6761 §6.3). Node asks the system, which may not know such names. */
function onThisMachine(engine) {
  if (!URL.canParse(engine)) return undefined;
  const { hostname, port, protocol } = new URL(engine);
  return hostname.endsWith(".localhost") ? `127.0.0.1:${port || (protocol === "https:" ? 443 : 80)}` : undefined;
}
