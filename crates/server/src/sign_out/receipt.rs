//! The receipt of a sign-out: for each app, whether it knows. Protocol §9 number 6.
//!
//! Whoever has signed out has no session any more that could show who they are. The page's address names the sessions, sealed, for an hour.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::app::App;
use hallpass_core::crypto::{Random, Sealer};
use hallpass_core::id::{AppKey, SessionId};
use hallpass_core::logout::Told;
use hallpass_core::time::Timestamp;
use hallpass_store::view::Policy;
use hallpass_store::{Read, StoreError, apps as registry, logouts, sessions};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use super::forget;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::Visitor;
use crate::web::headers::Allowed;
use crate::web::page::{ReceiptLine, SignedOutPage};
use crate::web::respond::html;

/// The purpose of the key that references are sealed with.
pub const SEALER: &str = "sign-out receipt";
/// How long the page can be looked at.
const LIFETIME: Duration = Duration::from_hours(1);
/// Sessions that one page tells of.
const MOST: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    of: String,
}

/// Where somebody who has just ended these sessions sees what became of it.
pub fn path(sealer: &Sealer, ended: &[SessionId], now: Timestamp, random: &mut dyn Random) -> String {
    let mut plain = (now + LIFETIME).as_millis().to_be_bytes().to_vec();
    ended.iter().take(MOST).for_each(|id| plain.extend_from_slice(id.as_bytes()));
    format!("/sign-out/receipt?of={}", URL_SAFE_NO_PAD.encode(sealer.seal(&plain, b"", random)))
}

/// `GET /sign-out/receipt?of`
pub async fn page(call: Call<Visitor>) -> Result<Response, Error> {
    let Query { of } = call.query()?;
    let ended = open(&call.context.keys.receipt, &of, call.now).ok_or_else(|| {
        Error::invalid_request(
            "This receipt is more than an hour old, or its address is not complete. You are signed out all the same.",
        )
        .because("receipt does not open")
    })?;
    let policy = call.context.view.policy().await?;
    let mut read = call.context.store.read().await?;
    let mut apps: BTreeMap<AppKey, Told> = BTreeMap::new();
    for id in &ended {
        for (app, told) in receipt(&mut read, id).await? {
            let known = apps.entry(app).or_insert(told);
            *known = (*known).max(told);
        }
    }
    let lines: Vec<_> = apps.iter().map(|(app, told)| line(&policy, app, *told)).collect();
    let pending = apps.values().any(|told| *told == Told::Retrying);
    let untold = apps.values().any(|told| *told == Told::Untold);
    let mut response = html(&SignedOutPage {
        brand: call.context.config.brand.clone(),
        everywhere: ended.len() > 1,
        apps: lines,
        pending,
        untold,
    });
    if pending {
        // Its script looks again.
        let connects = vec![call.context.public_url.clone()];
        response.extensions_mut().insert(Allowed { connects, scripts: true, ..Allowed::default() });
    }
    // Whoever signed out at an app comes with cookies of this host that open nothing any more.
    if call.proof.session.is_none() {
        forget(&call.context, &mut response).await?;
    }
    Ok(response)
}

/// For each app that ever learned of a session: whether it knows of its end. The worst of its addresses counts.
///
/// An app that asks us at each request needs no address; an OIDC client that is a server has made a session of its own of the ID token, and goes on with it.
pub async fn receipt(read: &mut Read, session: &SessionId) -> Result<BTreeMap<AppKey, Told>, StoreError> {
    let mut apps: BTreeMap<AppKey, Told> =
        sessions::told(read, session).await?.into_iter().map(|app| (app, Told::SignedOut)).collect();
    for (app, told) in &mut apps {
        let client = registry::find(read, app).await?;
        if client.as_ref().is_some_and(App::keeps_sessions) {
            *told = Told::Untold;
        }
    }
    for logout in logouts::of_session(read, session).await? {
        match apps.entry(logout.app) {
            // What is known of an address says more than that there may be none.
            Entry::Occupied(mut told) if *told.get() == Told::Untold => *told.get_mut() = logout.told,
            Entry::Occupied(mut told) => *told.get_mut() = (*told.get()).max(logout.told),
            Entry::Vacant(place) => _ = place.insert(logout.told),
        }
    }
    Ok(apps)
}

fn open(sealer: &Sealer, text: &str, now: Timestamp) -> Option<Vec<SessionId>> {
    let plain = sealer.open(&URL_SAFE_NO_PAD.decode(text).ok()?, b"")?;
    let (until, ids) = plain.split_first_chunk()?;
    let (ids, rest) = ids.as_chunks();
    let current = now < Timestamp::from_millis(i64::from_be_bytes(*until)) && rest.is_empty();
    current.then(|| ids.iter().map(|id| SessionId::from_bytes(*id)).collect())
}

fn line(policy: &Policy, app: &AppKey, told: Told) -> ReceiptLine {
    let entry = policy.by_key(app.as_str()).map(|index| &policy.apps[index]);
    ReceiptLine {
        app: entry.map_or_else(|| app.to_string(), |entry| entry.app.name.clone()),
        domain: entry.map_or_else(String::new, |entry| match (&entry.app.origins[..], &entry.app.redirect_uris[..]) {
            // It is in a zone by name only; people know it by where it is.
            ([], [there, ..]) => there.place().to_owned(),
            _ => entry.zone.cookie_domain.to_string(),
        }),
        told,
    }
}

#[cfg(test)]
mod tests {
    use hallpass_core::crypto::{MasterKey, SystemRandom};

    use super::*;

    #[test]
    fn a_reference_opens_for_an_hour_and_only_whole() {
        let sealer = MasterKey::new([1; 32]).sealer(SEALER);
        let (now, ids) = (Timestamp::from_seconds(1_800_000_000), [[1; 16], [2; 16]].map(SessionId::from_bytes));
        let path = path(&sealer, &ids, now, &mut SystemRandom);
        let of = path.strip_prefix("/sign-out/receipt?of=").expect("a reference");
        assert_eq!(open(&sealer, of, now).as_deref(), Some(&ids[..]));
        assert_eq!(open(&sealer, of, now + LIFETIME), None);
        for cut in 0..of.len() {
            assert_eq!(open(&sealer, &of[..cut], now), None);
        }
        assert_eq!(open(&MasterKey::new([2; 32]).sealer(SEALER), of, now), None);
    }
}
