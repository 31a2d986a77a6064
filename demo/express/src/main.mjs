// The point of sale of company2: reads its settings from the environment and serves.

import { pointOfSale } from "./app.mjs";
import { settingsFrom } from "./settings.mjs";

let settings;
try {
  settings = settingsFrom(process.env);
} catch (error) {
  fail(error.message);
}

const { app, hallpass } = made(settings);
// On this machine only, as `hallpass demo`; whoever puts it on a network puts a proxy with TLS before it.
const server = app.listen(settings.port, "127.0.0.1", (error) => {
  if (error?.code === "EADDRINUSE") fail(`Port ${settings.port} is taken. Choose another: PORT and the port in ORIGIN, and tell the engine.`);
  if (error) fail(`Cannot listen on port ${settings.port}: ${error.code ?? error.name}`);
  console.log(`\n  The point of sale of company2 is running: ${settings.origin}\n  Its engine is ${settings.engine}. Ctrl-C stops it.\n`);
});

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    hallpass.close();
    server.close(() => process.exit(0));
    server.closeAllConnections();
  });
}

/** What is wrong with the values is said by the SDK, in a sentence. */
function made(from) {
  try {
    return pointOfSale(from);
  } catch (error) {
    return fail(error.message);
  }
}

function fail(why) {
  console.error(`\n${why}\n`);
  process.exit(1);
}
