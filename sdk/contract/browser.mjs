// A browser of several hosts: keeps cookies by the rules that matter here (RFC 6265 §5.3, §5.4; the `__Host-` prefix), follows redirects, fills
// in the engine's form.

import assert from "node:assert/strict";

import { cookieHeader, send, unescaped } from "./http.mjs";
import { BOUNCE, secrets } from "./world.mjs";

/** No honest way from a click to a page is longer. */
const MOST_HOPS = 16;

const covers = (domain, host) => host === domain || host.endsWith(`.${domain}`);

export class Browser {
  constructor(engine) {
    Object.assign(this, { engine, jar: [], path: [] });
  }

  /** Opens an address and follows redirects, and pages that move on by themselves, to the page where they end; `path` is the way. */
  async open(url, { hops = MOST_HOPS } = {}) {
    this.path = [];
    return this.#walk(await this.ask(url), hops);
  }

  /** Opens an address and looks at the first answer only. */
  ask(url, { site = "none", dest = "document", more = [] } = {}) {
    const headers = [["Accept", "text/html"], ["User-Agent", "Mozilla/5.0 Firefox/153.0"], ["Sec-Fetch-Mode", "navigate"], ["Sec-Fetch-Dest", dest], ["Sec-Fetch-Site", site], ...more];
    return this.#send(url, { headers });
  }

  /** A script of the host's own page asks. */
  fetch(url) {
    return this.#send(url, { headers: [["Accept", "*/*"], ["Sec-Fetch-Mode", "cors"], ["Sec-Fetch-Dest", "empty"], ["Sec-Fetch-Site", "same-origin"]] });
  }

  /** Sends a form of the host's own page; the first answer. */
  submit(url, fields = {}, more = []) {
    const headers = [
      ["Accept", "text/html"], ["Sec-Fetch-Mode", "navigate"], ["Sec-Fetch-Dest", "document"], ["Sec-Fetch-Site", "same-origin"], ["Origin", new URL(url).origin],
      ["Content-Type", "application/x-www-form-urlencoded"], ...more,
    ];
    return this.#send(url, { method: "POST", headers, body: new URLSearchParams(fields).toString() });
  }

  /** Goes on from an answer to a page. */
  async follow(answer) {
    this.path = [];
    return this.#walk(answer, MOST_HOPS);
  }

  /** Fills in the engine's form, wherever the browser has just been led to it; the page where that ends. */
  async signIn(page, username) {
    assert.ok(page.url.startsWith(`${this.engine.url}/`) && page.status === 200, `the engine's form: ${page.url} ${page}`);
    const action = unescaped(/<form method="post" action="([^"]*)"/.exec(page.body)[1]);
    const password = this.engine.people[username];
    return this.follow(await this.submit(this.engine.url + action, { csrf_token: page.field("csrf_token"), username, password }));
  }

  /** The cookies of a name, with where they belong. */
  cookies(name) {
    return this.jar.filter((cookie) => cookie.name === name);
  }

  /** As a sibling host would do it: a cookie of its making for the whole domain. */
  toss(name, value, domain) {
    this.jar.push({ name, value, domain, hostOnly: false, path: "/" });
  }

  /** Another browser with the same cookies. */
  clone() {
    return Object.assign(new Browser(this.engine), { jar: this.jar.map((cookie) => ({ ...cookie })) });
  }

  async #walk(first, hops) {
    let answer = first;
    for (let left = hops; ; left -= 1) {
      const next = answer.status === 303 ? answer.location : onward(answer);
      if (next === undefined) return answer;
      assert.ok(left > 0, `no end:\n${this.path.join("\n")}`);
      answer = await this.ask(new URL(next, answer.url).href, { site: "cross-site" });
    }
  }

  async #send(url, { method = "GET", headers, body }) {
    const { host, hostname, port, pathname, search, origin } = new URL(url);
    this.path.push(`${method} ${origin}${pathname}`);
    const here = this.jar.filter((cookie) => (cookie.hostOnly ? cookie.domain === hostname : covers(cookie.domain, hostname)) && pathname.startsWith(cookie.path));
    const pairs = here.map(({ name, value }) => [name, value]);
    const answer = await send(Number(port), { method, path: pathname + search, headers: [["Host", host], ...headers, ...cookieHeader(pairs)], body });
    for (const [name, line] of answer.lines) {
      if (name === "set-cookie") this.#keep(line, hostname);
    }
    return Object.assign(answer, { url });
  }

  #keep(line, hostname) {
    const [pair, ...rest] = line.split(";").map((part) => part.trim());
    const [name, value] = [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)];
    const attributes = Object.fromEntries(rest.map((part) => [part.split("=")[0].toLowerCase(), part.split("=").slice(1).join("=")]));
    const hostOnly = attributes.domain === undefined;
    const domain = attributes.domain ?? hostname;
    const path = attributes.path ?? "/";
    if (!covers(domain, hostname) || (name.startsWith("__Host-") && !(hostOnly && path === "/"))) return;
    assert.ok(name.length + value.length < 4096, `${name} is too long for a browser`);
    this.jar = this.jar.filter((cookie) => !(cookie.name === name && cookie.domain === domain && cookie.hostOnly === hostOnly && cookie.path === path));
    if (attributes["max-age"] === "0" || value === "") return;
    this.jar.push({ name, value, domain, hostOnly, path });
    if (value.length > 20 && name !== BOUNCE) secrets.add(value);
  }
}

/** Where a page goes by itself, if it does. */
function onward(answer) {
  const tag = /<meta http-equiv="refresh" content="([^"]*)"/i.exec(answer.body)?.[1];
  return tag === undefined ? undefined : unescaped(/url=(.*)$/i.exec(tag)?.[1] ?? "") || undefined;
}
