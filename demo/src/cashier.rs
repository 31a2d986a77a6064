//! The cashier: takes orders (`canCreateOrder`) and closes the till (`canCloseTill`).

use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use hallpass_client::{Caller, Hallpass, require};
use serde::Deserialize;

use crate::ledger::{Amount, GOODS, Ledger, good};
use crate::page::{CashierPage, Message, Shell, render};
use crate::{Addresses, document, guarded};

/// The app, behind `hallpass`. Paths: `/`, `/orders`, `/till/close`.
pub fn cashier(hallpass: &Hallpass, addresses: Addresses) -> Router {
    let shop = Arc::new(Shop { addresses, ledger: Ledger::default() });
    let app = Router::new()
        .route("/", get(page))
        .route("/orders", post(create_order).layer(require("canCreateOrder")))
        .route("/till/close", post(close_till).layer(require("canCloseTill")))
        .with_state(shop);
    guarded(app, hallpass, include_str!("../assets/cashier.svg"))
}

struct Shop {
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
struct Order {
    item: String,
    count: String,
}

async fn page(State(shop): State<Arc<Shop>>, caller: Caller, Query(just): Query<Just>) -> Response {
    let message = Message::about(just.done.as_deref(), &shop.ledger, &caller);
    show(&shop, &caller, message)
}

async fn create_order(State(shop): State<Arc<Shop>>, caller: Caller, Form(order): Form<Order>) -> Response {
    let count = order.count.parse::<u32>().ok().filter(|count| (1..=20).contains(count));
    let (Some(good), Some(count)) = (good(&order.item), count) else {
        let page = show(&shop, &caller, Message::Wrong("Choose something to order, and from 1 to 20 of it."));
        return (StatusCode::BAD_REQUEST, page).into_response();
    };
    let total = Amount(good.price.0 * count);
    shop.ledger.take(total);
    done(&shop, &caller, format!("Ordered {count} × {} for {total}", good.name))
}

async fn close_till(State(shop): State<Arc<Shop>>, caller: Caller) -> Response {
    let total = shop.ledger.close_till();
    done(&shop, &caller, format!("Till closed at {total}"))
}

/// Writes it down and sends the browser to the page that says so: reloading that page repeats nothing.
fn done(shop: &Shop, caller: &Caller, what: String) -> Response {
    let number = shop.ledger.add(caller.user_id(), caller.name(), what);
    Redirect::to(&format!("/?done={number}")).into_response()
}

fn show(shop: &Shop, caller: &Caller, message: Message) -> Response {
    let html = render(&CashierPage {
        shell: Shell::new(["Cashier", "Point of sale"], &shop.addresses, caller, &shop.ledger, message),
        goods: &GOODS,
        till: shop.ledger.till(),
        may_create_order: caller.may("canCreateOrder"),
        may_close_till: caller.may("canCloseTill"),
    });
    document(html, &shop.addresses.engine)
}
