//! The point of sale, and the outlet, which is the same at another root domain: sells (`canCreateOrder`) and gives money back (`canRefund`).

use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use hallpass_client::{Caller, Hallpass, require};
use serde::Deserialize;

use crate::ledger::{Amount, GOODS, Ledger, good};
use crate::page::{Message, PosPage, Shell, render};
use crate::{Addresses, document, guarded};

/// Longest customer's name, in characters.
const LONGEST_NAME: usize = 40;

/// The app, behind `hallpass`. Paths: `/`, `/sales`, `/refunds`.
pub fn pos(hallpass: &Hallpass, addresses: Addresses) -> Router {
    named("Point of sale", hallpass, addresses)
}

/// The same app once more, for another root domain.
pub fn outlet(hallpass: &Hallpass, addresses: Addresses) -> Router {
    named("Outlet", hallpass, addresses)
}

fn named(name: &'static str, hallpass: &Hallpass, addresses: Addresses) -> Router {
    let shop = Arc::new(Shop { name, addresses, ledger: Ledger::default() });
    let app = Router::new()
        .route("/", get(page))
        .route("/sales", post(sell).layer(require("canCreateOrder")))
        .route("/refunds", post(refund).layer(require("canRefund")))
        .with_state(shop);
    guarded(app, hallpass, include_str!("../assets/pos.svg"))
}

struct Shop {
    name: &'static str,
    addresses: Addresses,
    ledger: Ledger,
}

/// What has just been done, by its number.
#[derive(Deserialize)]
struct Just {
    done: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Sale {
    item: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refund {
    amount: String,
    to: String,
}

async fn page(State(shop): State<Arc<Shop>>, caller: Caller, Query(just): Query<Just>) -> Response {
    let message = Message::about(just.done.as_deref(), &shop.ledger, &caller);
    show(&shop, &caller, message)
}

async fn sell(State(shop): State<Arc<Shop>>, caller: Caller, Form(sale): Form<Sale>) -> Response {
    match good(&sale.item) {
        Some(good) => done(&shop, &caller, format!("Sold {} for {}", good.name, good.price)),
        None => wrong(&shop, &caller, "Choose something to sell."),
    }
}

async fn refund(State(shop): State<Arc<Shop>>, caller: Caller, Form(refund): Form<Refund>) -> Response {
    let Some(amount) = Amount::parse(&refund.amount) else {
        return wrong(&shop, &caller, "Give an amount from 0.01 to 1000.00, such as 12.50.");
    };
    let to = refund.to.trim();
    if to.is_empty() || to.chars().count() > LONGEST_NAME || to.chars().any(char::is_control) {
        return wrong(&shop, &caller, "Say who gets the money, in at most 40 characters.");
    }
    done(&shop, &caller, format!("Refunded {amount} to {to}"))
}

/// Writes it down and sends the browser to the page that says so: reloading that page repeats nothing.
fn done(shop: &Shop, caller: &Caller, what: String) -> Response {
    let number = shop.ledger.add(caller.user_id(), caller.name(), what);
    Redirect::to(&format!("/?done={number}")).into_response()
}

fn wrong(shop: &Shop, caller: &Caller, why: &'static str) -> Response {
    (StatusCode::BAD_REQUEST, show(shop, caller, Message::Wrong(why))).into_response()
}

fn show(shop: &Shop, caller: &Caller, message: Message) -> Response {
    let html = render(&PosPage {
        shell: Shell::new([shop.name, "Cashier"], &shop.addresses, caller, &shop.ledger, message),
        goods: &GOODS,
        may_sell: caller.may("canCreateOrder"),
        may_refund: caller.may("canRefund"),
    });
    document(html, &shop.addresses.engine)
}
