//! `/`, which is also `/apps`, and the files that pages need. OIDC Core 1.0 §4 (sign-in that begins here, not at the client).

use axum::body::Body;
use axum::response::Response;
use hallpass_core::app::{App, Origin};
use hallpass_core::oidc::ClientKind;
use hallpass_store::view::Standing;
use http::{HeaderValue, header};

use crate::pass::Journey;
use crate::sign_in;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::{Anybody, Visitor};
use crate::web::page::{ASSETS, AppLink, Asset, HomePage};
use crate::web::respond::{html, person};

/// `GET /` and `GET /apps`: who is signed in, and the apps that this person may enter, each by one click.
pub async fn page(call: Call<Visitor>) -> Result<Response, Error> {
    let Some(live) = &call.proof.session else { return Ok(sign_in::redirect(&Journey::default(), &call.proof)) };
    if live.user.must_change_password {
        return Ok(crate::pass::see_other("/continue"));
    }
    let policy = call.context.view.policy().await?;
    let mut apps = Vec::new();
    for (index, entry) in policy.apps.iter().enumerate() {
        let enters = matches!(call.context.view.standing(&policy, live.user.id, index).await?, Standing::Admitted(_));
        if let Some(url) =
            way_in(&entry.app, &call.context.public_url).filter(|_| enters && entry.app.disabled_at.is_none())
        {
            apps.push(AppLink { name: entry.app.name.clone(), url });
        }
    }
    Ok(html(&HomePage {
        brand: call.context.config.brand.clone(),
        csrf_token: call.page_token(live.session.id.as_bytes()),
        person: person(&live.user),
        apps,
    }))
}

/// The one click that leads into an app, signed in. `None` for what has no address: a program, a device.
///
/// Somebody else's page may link to these addresses as well; all that it gets is its visitor into their own app.
fn way_in(app: &App, issuer: &Origin) -> Option<String> {
    // What has registered itself chooses its own name; here it would stand between those that the company knows.
    if app.registered {
        return None;
    }
    let front = app.origins.first();
    if app.redirect_uris.is_empty() {
        // An app with passes. It may be in another zone, or the pass may be gone: the way through here brings a new one.
        return front.map(|_| format!("/sign-in?app={}", app.key));
    }
    let address = front.map(|front| format!("{front}/"));
    if let Some(begins) = &app.initiate_login_uri {
        // No `login_hint`: whose browser it is the client learns by the sign-in, and not from an address that is in its logs before that.
        let mut said = vec![("iss", issuer.as_str())];
        said.extend(address.as_deref().map(|address| ("target_link_uri", address)));
        return Some(begins.with(&said));
    }
    let place =
        || app.redirect_uris.iter().find_map(|uri| uri.origin()).filter(|_| app.client.kind != ClientKind::Native);
    address.or_else(|| place().map(|place| format!("{place}/")))
}

/// `GET /assets/{name}`: the digest in the name lets browsers keep it for ever.
pub async fn asset(call: Call<Anybody>) -> Result<Response, Error> {
    let asset = ASSETS.iter().find(|asset| asset.path == call.parts.uri.path()).ok_or_else(Error::not_found)?;
    Ok(file(asset, "public, max-age=31536000, immutable"))
}

/// `GET /favicon.ico`: browsers ask for it beside any answer that is no page of ours, and call it an error if it is not there.
pub async fn icon(_: Call<Anybody>) -> Result<Response, Error> {
    let asset = ASSETS.iter().find(|asset| asset.name == "emblem.svg").ok_or_else(Error::not_found)?;
    Ok(file(asset, "public, max-age=86400"))
}

fn file(asset: &Asset, cache: &'static str) -> Response {
    let mut response = Response::new(Body::from(asset.bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}
