// The point of sale, an ordinary Express app: one middleware before everything, `require` on what takes a permission, and the caller where a
// page names the person. It is its own agent: company2.localhost is another root domain, to which no cookie of the engine's goes.

import { readFileSync } from "node:fs";

import express from "express";
import { callerOf, Hallpass } from "hallpass-client";

import { GOODS, Ledger, parseAmount, shown } from "./ledger.mjs";
import { posPage } from "./page.mjs";

/** Longest customer's name, in characters. */
const LONGEST_NAME = 40;

const asset = (name) => readFileSync(new URL(`../../assets/${name}`, import.meta.url));

/** The app and its connection to the engine. Paths: `/`, `/sales`, `/refunds`. */
export function pointOfSale({ engine, appKey, secretKey, origin, connectTo, ...more }) {
  const hallpass = new Hallpass({ engine, appKey, secretKey, origin, connectTo, agent: true, ...more });
  const ledger = new Ledger();
  const app = express();
  app.disable("x-powered-by");

  // What needs nobody signed in.
  const file = (type, content) => (_, response) =>
    response.set({ "Content-Type": type, "X-Content-Type-Options": "nosniff", "Cache-Control": "public, max-age=300" }).send(content);
  app.get("/demo.css", file("text/css; charset=utf-8", asset("demo.css")));
  app.get(["/icon.svg", "/favicon.ico"], file("image/svg+xml", asset("pos.svg")));

  app.use(hallpass.express());
  app.use(express.urlencoded({ extended: false, limit: "16kb" }));

  const show = (request, response, message) => {
    const caller = callerOf(request);
    // Browsers hold `form-action` against the redirects that follow a form, and signing out leads to the engine.
    const policy = `default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' ${engine}`;
    response.set({
      "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "same-origin", "Cache-Control": "private, no-store",
    });
    response.send(posPage({ caller, goods: GOODS, recent: ledger.recent(), accountUrl: `${engine}/account`, message }));
  };
  const wrong = (request, response, why) => show(request, response.status(400), { kind: "wrong", text: why });
  /** Writes it down and sends the browser to the page that says so: reloading that page repeats nothing. */
  const done = (request, response, what) => {
    const caller = callerOf(request);
    response.redirect(303, `/?done=${ledger.add(caller.userId, caller.name, what)}`);
  };

  app.get("/", (request, response) => {
    const entry = ledger.find(Number(request.query.done), callerOf(request).userId);
    show(request, response, entry && { kind: "done", text: entry.what });
  });

  app.post("/sales", hallpass.require("canCreateOrder"), (request, response) => {
    const good = GOODS.find(({ key }) => key === request.body?.item);
    if (!good) return wrong(request, response, "Choose something to sell.");
    done(request, response, `Sold ${good.name} for ${shown(good.price)}`);
  });

  app.post("/refunds", hallpass.require("canRefund"), (request, response) => {
    const amount = parseAmount(request.body?.amount);
    if (amount === undefined) return wrong(request, response, "Give an amount from 0.01 to 1000.00, such as 12.50.");
    const to = typeof request.body?.to === "string" ? request.body.to.trim() : "";
    if (to === "" || [...to].length > LONGEST_NAME || /\p{Cc}/u.test(to)) {
      return wrong(request, response, "Say who gets the money, in at most 40 characters.");
    }
    done(request, response, `Refunded ${shown(amount)} to ${to}`);
  });

  app.use((_, response) => response.status(404).type("text").send("There is nothing here."));
  // Four parameters, or Express takes it for a middleware. Nothing of the error goes out.
  app.use((error, request, response, _next) => {
    if (!error.status || error.status >= 500) console.error(`${request.method} ${JSON.stringify(request.path)}: ${error.stack}`);
    if (response.headersSent) return response.destroy();
    response.status(error.status ?? 500).type("text").send(error.status < 500 ? "That cannot be read." : "Something went wrong here.");
  });
  return { app, hallpass };
}
