//! `hallpass app show APP --oidc`: what to paste into a program that signs people in by OIDC. OIDC Discovery 1.0 §3.

use hallpass_core::app::App;
use hallpass_core::oidc::ClientAuthentication;
use hallpass_core::oidc::metadata::metadata;
use serde_json::{Value, json};

use crate::print::{done, facts, joined};
use crate::shell::{Failure, Shell};

/// Prints it. An app without redirect URIs is told how it becomes a client.
pub fn show(app: &App, shell: &Shell) -> Result<(), Failure> {
    let key = &app.key;
    if app.redirect_uris.is_empty() {
        return Err(format!(
            "{key} is no OpenID Connect client: it has no redirect URI. Add redirect_uris = [\"https://…\"] below [apps.{key}] in your file, \
             and `hallpass apply` it; the other program's documentation names the address"
        )
        .into());
    }
    let issuer =
        shell.config()?.public_url.ok_or("public_url is not set, so nobody knows what the issuer is called")?;
    let provider = metadata(issuer.as_str());
    let at = |name: &str| provider[name].as_str().unwrap_or_default().to_owned();
    let way = ClientAuthentication::of(app);
    // What the provider can, of this client: its kind says whether it has a secret.
    let of = |name: &str, fits: &dyn Fn(&str) -> bool| -> Vec<&str> {
        provider[name].as_array().into_iter().flatten().filter_map(Value::as_str).filter(|word| fits(word)).collect()
    };
    let methods = of("token_endpoint_auth_methods_supported", &|method| way.methods().contains(&method));
    let scopes = of("scopes_supported", &|scope| scope != "offline_access" || app.client.offline_access);
    let discovery = format!("{issuer}/.well-known/openid-configuration");
    if shell.json {
        let object = json!({
            "issuer": issuer,
            "discovery": discovery,
            "client_id": app.client_id(),
            "redirect_uris": app.redirect_uris,
            "post_logout_redirect_uris": app.post_logout_redirect_uris,
            "logout_urls": app.logout_urls,
            "client": app.client.kind,
            "scopes": scopes,
            "id_token_alg": app.id_token_alg,
            "token_endpoint_auth_methods": methods,
            "require_pushed_authorization_requests": app.client.require_pushed,
            "subject_type": app.client.subject_type,
            "endpoints": {
                "authorization": at("authorization_endpoint"),
                "pushed_authorization_request": at("pushed_authorization_request_endpoint"),
                "token": at("token_endpoint"),
                "userinfo": at("userinfo_endpoint"),
                "end_session": at("end_session_endpoint"),
                "keys": at("jwks_uri"),
                "revocation": at("revocation_endpoint"),
                "introspection": at("introspection_endpoint"),
                "device_authorization": app.device.then(|| at("device_authorization_endpoint")),
            },
        });
        return Ok(done(true, "", &object)?);
    }
    let secret = match way {
        ClientAuthentication::None => {
            format!("none: it is a {} client, whose secret everybody could read", app.client.kind.as_str())
        }
        ClientAuthentication::PrivateKeyJwt => {
            format!("none: it signs assertions for {issuer} with the private key to one of its jwks")
        }
        ClientAuthentication::Secret => {
            format!("the app's secret key, hp_sk_…; `hallpass app rotate-secret {key}` makes one")
        }
    };
    let pushed = if app.client.require_pushed { "required of this client" } else { "if the program can" };
    let told = match &app.logout_urls[..] {
        [] if app.keeps_sessions() => "nowhere: it goes on with a sign-in of its own until it asks again".to_owned(),
        urls => joined(urls.iter().map(|url| url.as_str().to_owned())),
    };
    let shown = [
        ("issuer", issuer.to_string()),
        ("discovery", discovery),
        ("client ID", app.client_id().to_owned()),
        ("client secret", secret),
        ("sent by", joined(methods)),
        ("redirect URI", joined(&app.redirect_uris)),
        ("after sign-out", joined(&app.post_logout_redirect_uris)),
        ("told of sign-outs at", told),
        ("scopes", scopes.join(" ")),
        ("who somebody is", "sub; preferred_username, name and email are at the userinfo URL".to_owned()),
        ("PKCE", "on, S256".to_owned()),
        ("ID tokens signed with", app.id_token_alg.to_string()),
        ("authorization URL", at("authorization_endpoint")),
        ("pushed requests (PAR) URL", format!("{}, {pushed}", at("pushed_authorization_request_endpoint"))),
        ("token URL", at("token_endpoint")),
        ("userinfo URL", at("userinfo_endpoint")),
        ("sign-out URL", at("end_session_endpoint")),
        ("keys (JWKS)", at("jwks_uri")),
    ];
    done(
        false,
        format!(
            "What {} needs to know. A program that takes the discovery address needs nothing below it.\n",
            app.name
        ),
        &Value::Null,
    )?;
    Ok(facts(&shown)?)
}
