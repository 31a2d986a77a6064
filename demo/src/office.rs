//! The back office: shows what people earn (`canSeePay`) and pays it out (`canPay`). It holds money, so it is bound: its pass is a cookie of its own
//! host, which it fetches itself.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use hallpass_client::{Caller, Hallpass, require};
use serde::Deserialize;

use crate::ledger::{Amount, Ledger};
use crate::page::{Message, OfficePage, Shell, render};
use crate::{Addresses, document, guarded};

/// Whom there is to pay, and how much for a shift.
pub(crate) const WAGES: [(&str, Amount); 3] =
    [("Ana Costa", Amount(14_400)), ("Ben Okafor", Amount(12_800)), ("Chloé Martin", Amount(12_800))];

/// The app, behind `hallpass`. Paths: `/`, `/wages`.
pub fn office(hallpass: &Hallpass, addresses: Addresses) -> Router {
    let office = Arc::new(Office { addresses, ledger: Ledger::default() });
    let app =
        Router::new().route("/", get(page)).route("/wages", post(pay).layer(require("canPay"))).with_state(office);
    guarded(app, hallpass, include_str!("../assets/office.svg"))
}

struct Office {
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
struct Wage {
    to: String,
}

async fn page(State(office): State<Arc<Office>>, caller: Caller, Query(just): Query<Just>) -> Response {
    let message = Message::about(just.done.as_deref(), &office.ledger, &caller);
    show(&office, &caller, message)
}

async fn pay(State(office): State<Arc<Office>>, caller: Caller, Form(wage): Form<Wage>) -> Response {
    let Some((to, amount)) = WAGES.iter().find(|(name, _)| *name == wage.to) else {
        return (StatusCode::BAD_REQUEST, show(&office, &caller, Message::Wrong("Choose somebody to pay.")))
            .into_response();
    };
    let number = office.ledger.add(caller.user_id(), caller.name(), format!("Paid {amount} to {to}"));
    Redirect::to(&format!("/?done={number}")).into_response()
}

fn show(office: &Office, caller: &Caller, message: Message) -> Response {
    let html = render(&OfficePage {
        shell: Shell::new(["Back office", "Cashier"], &office.addresses, caller, &office.ledger, message),
        wages: if caller.may("canSeePay") { &WAGES } else { &[] },
        may_see: caller.may("canSeePay"),
        may_pay: caller.may("canPay"),
    });
    document(html, &office.addresses.engine)
}
