//! `POST /oauth/device_authorization`: a device begins (RFC 8628 §3.1, §3.2). It gets one code to ask with, and one to show. Who asks is found out as at the
//! token endpoint: a native client has nothing but its name, and the person who looks at the page for devices knows whether they have begun this.

use axum::response::Response;
use hallpass_core::oidc::{DEVICE_CODE_LIFETIME, DEVICE_PAUSE, GrantType, Scope, UserCode};
use hallpass_core::secret::{DeviceCode, Secret};
use hallpass_core::throttle;
use hallpass_store::device_codes::{self, NewDevice};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::address;
use crate::oidc::client::{ClientClaim, identify};
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::{by_browser, not_for_browsers};

/// That two of the few devices that wait show the same letters happens once in a million years.
const TRIES: usize = 4;

/// What a device may bring. Others are ignored (RFC 6749 §3.1).
#[derive(Deserialize)]
struct Request {
    scope: Option<String>,
}

/// The handler.
pub async fn authorize(call: Call<ClientClaim>) -> Result<Response, Error> {
    let (call, request): (_, Request) = identify(call).await?;
    let (context, app) = (&call.context, &call.proof.app().app);
    if !GrantType::DeviceCode.is_given_to(app) {
        let message =
            "This app is not set up for devices: its declaration does not say device = true, or it is a page.";
        return Err(Error::new(StatusCode::BAD_REQUEST, "unauthorized_client", message).because("not given this grant"));
    }
    // Nor could a page that has its visitors begin read the codes; the address that people are shown would be theirs all the same.
    if call.proof.is_public() && by_browser(call.headers()) {
        return Err(not_for_browsers().because("a device authorization from a browser"));
    }
    let asked = scope(request.scope.as_deref())?;
    // As at the authorization endpoint: only what the app's settings say outlives its session.
    let scope = Scope { offline_access: asked.offline_access && app.client.offline_access, ..asked };
    // Each begins a row that lives for ten minutes.
    if context.device_authorizations.count(throttle::address_block(call.ip), call.now) {
        return Err(Error::too_many_requests(DEVICE_CODE_LIFETIME / 10).because("too many devices from this address"));
    }
    let (code, ip) = (Secret::<DeviceCode>::mint(&mut context.random()), call.ip.to_string());
    let mut write = context.store.write().await?;
    for _ in 0..TRIES {
        let user_code = UserCode::mint(&mut context.random());
        let new = NewDevice { code: code.digest(), user_code, app: &app.key, scope, ip: &ip };
        if !device_codes::begin(&mut write, &new, call.now).await? {
            continue;
        }
        write.commit().await?;
        let answer = json!({
            "device_code": code.expose().as_str(),
            "user_code": user_code.to_string(),
            "verification_uri": format!("{}{}", context.public_url, address(None)),
            "verification_uri_complete": format!("{}{}", context.public_url, address(Some(&user_code))),
            "expires_in": DEVICE_CODE_LIFETIME.as_secs(),
            "interval": DEVICE_PAUSE.as_secs(),
        });
        return Ok(crate::oidc::json(answer.to_string()));
    }
    Err(Error::unavailable().because("no user code is free"))
}

/// What the device asks for: as much as at the authorization endpoint, and `openid` if it does not say (RFC 8628 §3.1).
fn scope(asked: Option<&str>) -> Result<Scope, Error> {
    match asked {
        None | Some("") => Ok(Scope { profile: false, email: false, offline_access: false }),
        Some(asked) => asked
            .parse()
            .map_err(|_| Error::new(StatusCode::BAD_REQUEST, "invalid_scope", "The scope has to contain openid.")),
    }
}
