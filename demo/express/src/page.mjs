// The page, as `demo/templates` has it. Buttons obey permissions for the eye; what counts is `require` on the routes behind them.

import { shown } from "./ledger.mjs";

const NAME = "Point of sale";
const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** A template whose values come out escaped, except for what came out of it already. */
function html(parts, ...values) {
  const text = (value) => {
    if (value instanceof Markup) return value.text;
    if (Array.isArray(value)) return value.map(text).join("");
    return value === undefined || value === false ? "" : String(value).replace(/[&<>"']/g, (character) => ENTITIES[character]);
  };
  return new Markup(parts.reduce((whole, part, at) => whole + text(values[at - 1]) + part));
}

class Markup {
  constructor(text) {
    this.text = text;
  }
}

/** The finished document. */
export function posPage({ caller, goods, recent, accountUrl, message }) {
  const token = html`<input type="hidden" name="csrf_token" value="${caller.csrfToken}">`;
  const mayNot = (id) => html` disabled aria-describedby="${id}"`;
  const [maySell, mayRefund] = [caller.may("canCreateOrder"), caller.may("canRefund")];
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${NAME}</title>
<link rel="icon" type="image/svg+xml" href="/icon.svg">
<link rel="stylesheet" href="/demo.css">
</head>
<body class="pos">
<header class="bar">
<div>
<div class="app"><img src="/icon.svg" alt="" width="40" height="40"><h1 data-testid="app-name">${NAME}</h1></div>
<nav aria-label="Elsewhere"><a href="${accountUrl}" data-testid="account">My account</a></nav>
<div class="who">
<span class="initials" aria-hidden="true">${initials(caller.name)}</span>
<span data-testid="who"><strong data-testid="name">${caller.name}</strong><small data-testid="username">${caller.username}</small></span>
<form method="post" action="/.sso/sign-out">
${token}
<button class="button" type="submit" data-testid="sign-out">Sign out</button>
</form>
</div>
</div>
</header>
<main>
${message && html`<p class="${message.kind}" role="${message.kind === "done" ? "status" : "alert"}" data-testid="${message.kind}">${message.text}</p>`}
<div class="column">
<section class="card" aria-labelledby="sell">
<h2 id="sell">Sell</h2>
<p>One click sells one.</p>
<form method="post" action="/sales">
${token}
<fieldset${!maySell && mayNot("sell-why")}>
<div class="goods">
${goods.map((good) => html`<button class="button" type="submit" name="item" value="${good.key}" data-testid="sell-${good.key}"><span>${good.name}</span><strong>${shown(good.price)}</strong></button>\n`)}</div>
</fieldset>
</form>
${!maySell && html`<p class="why" id="sell-why" data-testid="sell-why">You may not sell here: that takes the permission canCreateOrder.</p>`}
</section>
<section class="card" aria-labelledby="give-back">
<h2 id="give-back">Refund</h2>
<p>Give money back to a customer.</p>
<form method="post" action="/refunds">
${token}
<fieldset${!mayRefund && mayNot("refund-why")}>
<div class="row">
<label>Amount <input name="amount" type="text" inputmode="decimal" value="12.50" autocomplete="off" required data-testid="refund-amount"></label>
<label>To <input name="to" type="text" value="Ana" autocomplete="off" maxlength="40" required data-testid="refund-to"></label>
<button class="button" type="submit" data-testid="refund">Refund</button>
</div>
</fieldset>
</form>
${!mayRefund && html`<p class="why" id="refund-why" data-testid="refund-why">You may not refund: that takes the permission canRefund.</p>`}
</section>
</div>
<div class="column">
<section class="card" aria-labelledby="may">
<h2 id="may">What I may do here</h2>
${
  caller.permissions.length === 0
    ? html`<p data-testid="no-permissions">Nothing yet. Somebody has to give you a role in ${NAME}.</p>`
    : html`<ul class="may" data-testid="permissions">${caller.permissions.map((permission) => html`<li data-testid="permission"><code>${permission}</code></li>`)}</ul>`
}
${caller.roles.length > 0 && html`<p class="why">By role: ${caller.roles.join(", ")}</p>`}
</section>
<section class="card" aria-labelledby="recent">
<h2 id="recent">Lately</h2>
${
  recent.length === 0
    ? html`<p>Nothing has happened since the start.</p>`
    : html`<ol class="recent" data-testid="recent">${recent.map((entry) => html`<li data-testid="entry">${entry.what}<small>No. ${entry.number}, by ${entry.by}</small></li>`)}</ol>`
}
</section>
</div>
</main>
</body>
</html>
`.text;
}

/** First letters of the first and the last name. */
function initials(name) {
  const letters = name.split(/\s+/).flatMap((word) => /[\p{L}\p{N}]/u.exec(word) ?? []);
  return [...new Set([0, letters.length - 1])].map((at) => letters[at] ?? "").join("").toUpperCase();
}
