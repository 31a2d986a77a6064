// What the cases stand on: the real engine in a directory of its own, sample apps of the SDK under test, and people with browsers.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { cookieHeader, eventually, freePort, origins, PATIENCE, send, unescaped } from "./http.mjs";

const here = dirname(fileURLToPath(import.meta.url));

/** The sample app: a command, split at blanks; run in the repository's root. */
const command = (process.env.HALLPASS_CONTRACT_APP ?? "node sdk/js/contract/app.mjs").split(" ");
const built = resolve(process.env.HALLPASS_BIN ?? join(here, "../../target/release/hallpass"));

// Nothing of the product needs root, so where the cases run as root, the engine runs as nobody.
const nobody = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};

export const PASS = "__Secure-hallpass-pass";
export const SEEN = "__Host-Http-hallpass-seen";
export const BOUNCE = "__Host-Http-hallpass-bounce";

/** Everything that must never be printed by an app: noted where it first shows up. */
export const secrets = new Set();

const ended = (child) => (child.exitCode === null && child.signalCode === null ? once(child, "exit") : Promise.resolve());

// ---- the engine -------------------------------------------------------------------------------------------------------

/** The real engine, set up by its own command line. */
export class Engine {
  /** `held`: roles, by person and app. `zones`: the lines of each further zone, by its name. */
  static async start(apps, held, zones = {}) {
    const engine = new Engine();
    engine.home = mkdtempSync(join(tmpdir(), "hallpass-contract-"));
    chmodSync(engine.home, 0o711);
    engine.program = join(engine.home, "hallpass");
    copyFileSync(built, engine.program);
    chmodSync(engine.program, 0o755);
    engine.data = mkdtempSync(join(engine.home, "data-"));
    if (nobody.uid) chownSync(engine.data, nobody.uid, nobody.gid);
    engine.port = await freePort();
    engine.internalPort = await freePort();
    engine.url = `http://auth.company.localhost:${engine.port}`;
    engine.environment = {
      PATH: process.env.PATH,
      LANG: "C.UTF-8",
      HOME: engine.data,
      HALLPASS_PUBLIC_URL: engine.url,
      HALLPASS_COOKIE_DOMAIN: "company.localhost",
      HALLPASS_LISTEN: `127.0.0.1:${engine.port}`,
      HALLPASS_INTERNAL_LISTEN: `127.0.0.1:${engine.internalPort}`,
      HALLPASS_DATA_DIR: engine.data,
    };
    engine.setUp(apps, held, zones);
    await engine.run();
    return engine;
  }

  setUp(apps, held, zones) {
    // Of apps, `more` is for what only some registries know.
    const sections = Object.entries(apps).map(([key, { origin, sensitive, roles, more = [] }]) => {
      const lines = Object.entries(roles).map(([role, permissions]) => `${role} = ${JSON.stringify(permissions)}`);
      return [`[apps.${key}]`, `origins = ["${origin}"]`, `sensitive = ${sensitive}`, ...more, `[apps.${key}.roles]`, ...lines].join("\n");
    });
    const home = ['cookie_domain = "company.localhost"', "home = true"];
    const named = Object.entries({ home, ...zones }).map(([name, lines]) => [`[zones.${name}]`, ...lines].join("\n"));
    this.apply("apps.toml", [...named, ...sections].join("\n\n"));
    this.people = {};
    for (const username of ["ana", "ben"]) {
      const password = `a long password of ${username} for the contract`;
      secrets.add(password);
      this.people[username] = password;
      this.cli(["user", "add", username, "--password-stdin", "--permanent"], `${password}\n`);
    }
    const users = Object.entries(held).flatMap(([username, roles]) => [
      `[users.${username}]`,
      ...Object.entries(roles).map(([app, names]) => `roles.${app} = ${JSON.stringify(names)}`),
    ]);
    this.apply("users.toml", users.join("\n"));
    this.secretFiles = {};
    for (const app of Object.keys(apps)) this.rotateSecret(app);
  }

  apply(name, text) {
    const file = join(this.data, name);
    writeFileSync(file, text);
    this.cli(["apply", file, "--yes"]);
  }

  /** Makes the next secret key of an app; its file is the newest of `secretFiles[app]`. */
  rotateSecret(app) {
    const files = (this.secretFiles[app] ??= []);
    const file = join(this.data, `${app}.${files.length}.secret`);
    this.cli(["app", "rotate-secret", app, "--secret-file", file]);
    secrets.add(readFileSync(file, "utf8").trim());
    files.unshift(file);
  }

  /** Runs a verb of the command line, as an operator would in another terminal. */
  cli(words, input = "") {
    const options = { ...nobody, cwd: this.data, env: this.environment, input, encoding: "utf8", timeout: PATIENCE };
    const run = spawnSync(this.program, words, options);
    assert.equal(run.status, 0, `hallpass ${words.join(" ")}: ${run.error ?? run.stderr}`);
    return run.stdout;
  }

  /** The ids of a person's live sessions. */
  sessionsOf(username) {
    return this.cli(["session", "list", username, "--json"]).match(/s_[A-Za-z0-9_-]+/g) ?? [];
  }

  /** Waits until it is written down that these apps have learned of a session: that is what a receipt lists. */
  async noted(session, apps) {
    await eventually(`${apps} know of the session`, PATIENCE, () => {
      const lines = JSON.parse(this.cli(["session", "receipt", session, "--json"]));
      const known = lines.map(({ app }) => app).sort();
      return apps.every((app) => known.includes(app)) || String(known);
    });
  }

  /** Starts serving and waits until it does. */
  async run() {
    this.child = spawn(this.program, ["serve"], { ...nobody, cwd: this.data, env: this.environment, stdio: ["ignore", "ignore", "pipe"] });
    this.log = "";
    this.child.stderr.on("data", (bytes) => (this.log = (this.log + bytes).slice(-8000)));
    await eventually("the engine serves", PATIENCE, async () => {
      assert.equal(this.child.exitCode, null, `the engine ended\n${this.log}`);
      const path = "/.well-known/jwks.json";
      return this.send({ path }).then((answer) => answer.status === 200, (error) => error.message);
    });
  }

  /** Waits until this many apps hold a change stream: from then on, each of them hears of every change. */
  async heardBy(apps, milliseconds) {
    await eventually(`${apps} change streams are open`, milliseconds, async () => {
      const { body } = await send(this.internalPort, { path: "/metrics", headers: [["Host", "127.0.0.1"]] });
      const streams = /^hallpass_change_streams (\d+)$/m.exec(body)?.[1];
      return streams === String(apps) || streams;
    });
  }

  /** Ends it as a power failure would. */
  async kill() {
    this.child.kill("SIGKILL");
    await ended(this.child);
  }

  async remove() {
    await this.kill();
    rmSync(this.home, { recursive: true, force: true });
  }

  send(what) {
    return send(this.port, { ...what, headers: [["Host", `auth.company.localhost:${this.port}`], ...(what.headers ?? [])] });
  }
}

// ---- the sample app ---------------------------------------------------------------------------------------------------

/** One process of the sample app. */
export class App {
  constructor(key, port, settings) {
    const authority = `${settings.host ?? `${key}.company.localhost`}:${port}`;
    Object.assign(this, { key, port, settings, output: "", authority, origin: `http://${authority}` });
    origins.set(port, this.origin);
  }

  /** Starts it and waits until it listens. `secretFiles`: the current one first, then a previous one if there is one. */
  async start(engine) {
    const [secretFile, previous] = engine.secretFiles[this.key];
    const environment = {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      LANG: "C.UTF-8",
      HALLPASS_CONTRACT_ADAPTER: process.env.HALLPASS_CONTRACT_ADAPTER ?? "",
      CONTRACT_PORT: String(this.port),
      CONTRACT_ENGINE: engine.url,
      CONTRACT_CONNECT_TO: `127.0.0.1:${engine.port}`,
      CONTRACT_APP_KEY: this.key,
      CONTRACT_SECRET_FILE: secretFile,
      CONTRACT_PREVIOUS_SECRET_FILE: previous ?? "",
      CONTRACT_ORIGIN: this.origin,
      CONTRACT_FIRST_CONTACT: this.settings.firstContact,
      CONTRACT_CSRF: this.settings.csrf,
      CONTRACT_GRACE_MS: String(this.settings.grace),
      CONTRACT_AGENT: this.settings.agent ?? "off",
    };
    const [program, ...words] = command;
    this.child = spawn(program, words, { cwd: join(here, "../.."), env: environment, stdio: ["ignore", "pipe", "pipe"] });
    let listening = false;
    this.child.stdout.on("data", (bytes) => ((this.output += bytes), (listening ||= this.output.includes("listening"))));
    this.child.stderr.on("data", (bytes) => (this.output += bytes));
    await eventually(`the sample app of ${this.key} listens`, PATIENCE, async () => {
      assert.equal(this.child.exitCode, null, `the sample app ended\n${this.output}`);
      return listening;
    });
  }

  async stop() {
    this.child.kill("SIGTERM");
    const insist = setTimeout(() => this.child.kill("SIGKILL"), 3000);
    await ended(this.child);
    clearTimeout(insist);
  }

  /** Sends a request with exactly these headers besides `Host`. */
  send({ headers = [], ...what }) {
    return send(this.port, { ...what, headers: [["Host", this.authority], ...headers] });
  }

  /** A person opens an address. `cookies` are pairs of name and value. */
  visit(path, cookies = [], more = []) {
    const headers = [["Accept", "text/html"], ["Sec-Fetch-Mode", "navigate"], ["Sec-Fetch-Site", "none"], ...more, ...cookieHeader(cookies)];
    return this.send({ path, headers });
  }

  /** A script of the app's own page asks. */
  fetch(path, cookies = [], more = []) {
    const headers = [["Accept", "*/*"], ["Sec-Fetch-Mode", "cors"], ["Sec-Fetch-Site", "same-origin"], ...more, ...cookieHeader(cookies)];
    return this.send({ path, headers });
  }

  /** A form is sent, from a page of `site`: `same-origin`, `same-site`, `cross-site`, `none`. */
  submit(path, cookies = [], fields = {}, { site = "same-origin", more = [] } = {}) {
    const headers = [
      ["Accept", "text/html"], ["Sec-Fetch-Mode", "navigate"], ["Sec-Fetch-Site", site],
      ["Content-Type", "application/x-www-form-urlencoded"], ...more, ...cookieHeader(cookies),
    ];
    return this.send({ method: "POST", path, headers, body: new URLSearchParams(fields).toString() });
  }

  /** How many requests that may change something have reached the application's own code. */
  async acted() {
    return (await this.fetch("/public/acted")).json.acted;
  }
}

// ---- people -----------------------------------------------------------------------------------------------------------

/** A person with a browser: what the engine's host has set there, and the pass. */
export class Person {
  constructor(engine, username) {
    Object.assign(this, { engine, username, jar: new Map(), pass: undefined });
  }

  /** Follows an address at the engine, through its real sign-in form, until it leads back to an app; returns where to. */
  async signIn(url) {
    const page = await this.follow(url);
    assert.equal(page.status, 200, page.toString());
    const action = unescaped(/<form method="post" action="([^"]*)"/.exec(page.body)[1]);
    const body = new URLSearchParams({ csrf_token: page.field("csrf_token"), username: this.username, password: this.engine.people[this.username] });
    const headers = [["Content-Type", "application/x-www-form-urlencoded"], ["Sec-Fetch-Site", "same-origin"], ["Origin", this.engine.url]];
    const answer = await this.ask({ method: "POST", path: action, headers, body: body.toString() });
    return (await this.follow(this.engine.url + answer.location)).location;
  }

  /** Follows redirects inside the engine's host; returns the first answer that is something else. */
  async follow(url) {
    let path = url;
    for (let hops = 0; hops < 6; hops += 1) {
      assert.ok(path.startsWith(`${this.engine.url}/`), `${path} is an address of the engine`);
      const answer = await this.ask({ path: path.slice(this.engine.url.length), headers: [["Accept", "text/html"], ["Sec-Fetch-Mode", "navigate"], ["Sec-Fetch-Dest", "document"]] });
      const target = answer.status === 303 ? new URL(answer.location, this.engine.url).href : "";
      if (!target.startsWith(`${this.engine.url}/`)) return answer;
      path = target;
    }
    throw new Error(`more redirects than any honest path needs, at ${path}`);
  }

  async ask(what) {
    const answer = await this.engine.send({ ...what, headers: [...what.headers, ...cookieHeader([...this.jar])] });
    for (const [name, line] of answer.lines.filter(([found]) => found === "set-cookie").map(([, text]) => [text.split("=")[0], text])) {
      const value = line.slice(name.length + 1).split(";")[0];
      if (value) secrets.add(value);
      if (name === PASS) this.pass = value || undefined;
      else if (line.includes("Max-Age=0")) this.jar.delete(name);
      else this.jar.set(name, value);
    }
    return answer;
  }

  /** The pass, as a cookie. */
  get cookies() {
    assert.ok(this.pass, `${this.username} has a pass`);
    return [[PASS, this.pass]];
  }
}
