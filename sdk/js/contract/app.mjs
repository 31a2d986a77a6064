// The sample app of this SDK for sdk/contract, whose README says what it must do. HALLPASS_CONTRACT_ADAPTER: `express` or `fetch`.

import { createServer } from "node:http";
import { Readable } from "node:stream";

import { callerOf, fromFile, Hallpass, signInUrlOf } from "../dist/index.js";

const { env } = process;
const hallpass = new Hallpass({
  engine: env.CONTRACT_ENGINE,
  connectTo: env.CONTRACT_CONNECT_TO,
  appKey: env.CONTRACT_APP_KEY,
  secretKey: fromFile(env.CONTRACT_SECRET_FILE),
  previousSecretKeys: env.CONTRACT_PREVIOUS_SECRET_FILE ? [fromFile(env.CONTRACT_PREVIOUS_SECRET_FILE)] : [],
  origin: env.CONTRACT_ORIGIN,
  firstContact: env.CONTRACT_FIRST_CONTACT,
  csrf: env.CONTRACT_CSRF,
  grace: Number(env.CONTRACT_GRACE_MS),
  agent: env.CONTRACT_AGENT === "on" || env.CONTRACT_AGENT === "bound",
  bound: env.CONTRACT_AGENT === "bound",
  optional: (path) => path === "/public" || path.startsWith("/public/"),
});

let acted = 0;

/** What the app itself answers, whichever way the request came. */
function answer({ method, path, headerNames, body, request }) {
  const headers = { "Content-Type": "application/json" };
  if (method !== "GET" && method !== "HEAD") acted += 1;
  if (path === "/public/acted") return { headers, body: { acted } };
  if (path === "/headers") return { headers, body: { headers: headerNames } };
  if (path === "/kept") return { headers: { ...headers, "Cache-Control": "public, max-age=60" }, body: {} };
  const caller = callerOf(request);
  const known = caller && {
    username: caller.username,
    user_id: caller.userId,
    session_id: caller.sessionId,
    permissions: caller.permissions,
    csrf_token: caller.csrfToken,
  };
  return { headers, body: { caller: known ?? null, sign_in_url: signInUrlOf(request), body } };
}

const pathOf = (url) => url.split("?")[0];
const isRefunds = (path) => path === "/refunds" || path === "/public/refunds";

/** Plain node:http with the middleware. */
function expressServer() {
  const guard = hallpass.express();
  const mayRefund = hallpass.require("canRefund");
  const app = (request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (text) => (body += text));
    request.on("end", () => {
      const { method, url, headers } = request;
      const made = answer({ method, path: pathOf(url), headerNames: Object.keys(headers), body, request });
      response.writeHead(200, made.headers).end(JSON.stringify(made.body));
    });
  };
  return createServer((request, response) =>
    guard(request, response, () => {
      if (isRefunds(pathOf(request.url))) mayRefund(request, response, () => app(request, response));
      else app(request, response);
    }),
  );
}

/** The fetch adapter, behind the smallest bridge from node:http. */
function fetchServer() {
  const app = async (request) => {
    const { method, headers } = request;
    const path = new URL(request.url).pathname;
    const made = answer({ method, path, headerNames: [...headers.keys()], body: await request.text(), request });
    return Response.json(made.body, { headers: made.headers });
  };
  const mayRefund = hallpass.requireFetch("canRefund", app);
  const handler = hallpass.fetchHandler((request) => (isRefunds(new URL(request.url).pathname) ? mayRefund(request) : app(request)));
  return createServer(async (received, response) => {
    const headers = new Headers();
    for (let at = 0; at < received.rawHeaders.length; at += 2) headers.append(received.rawHeaders[at], received.rawHeaders[at + 1]);
    const { method, url } = received;
    const body = method === "GET" || method === "HEAD" ? null : Readable.toWeb(received);
    const address = url.startsWith("/") ? env.CONTRACT_ORIGIN + url : url;
    const made = await handler(new Request(address, { method, headers, body, duplex: "half" }));
    response.writeHead(made.status, [...made.headers].flat());
    response.end(Buffer.from(await made.arrayBuffer()));
  });
}

const server = env.HALLPASS_CONTRACT_ADAPTER === "fetch" ? fetchServer() : expressServer();
server.listen(Number(env.CONTRACT_PORT), "127.0.0.1", () => console.log("listening"));
process.on("SIGTERM", () => {
  hallpass.close();
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
