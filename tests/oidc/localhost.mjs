// Names below `localhost` are this machine for whatever is imported after this file (RFC 6761 §6.3): browsers have it so, the resolver of plain
// Debian does not. Also for a program of its own: `node --import ./localhost.mjs`.

import dns from "node:dns";

const { lookup } = dns;
dns.lookup = (host, ...more) => lookup(/(^|\.)localhost$/.test(host) ? "127.0.0.1" : host, ...more);
