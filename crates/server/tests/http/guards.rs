//! Who gets how far, for every route: the whole policy on one page.

use std::fmt::Write as _;

use hallpass_server::routes::{self, Route};
use hallpass_server::web::error::Voice;
use hallpass_server::web::page::asset_path;

use crate::support::{Ask, PASS, SESSION, SignedIn, Site};

/// Everybody who might knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Nobody,
    DeadCookie,
    Session,
    App,
    WrongApp,
    PassAsCookie,
    PassAsSession,
    PassAsBearer,
}

impl Who {
    pub const ALL: [Self; 8] = [
        Self::Nobody,
        Self::DeadCookie,
        Self::Session,
        Self::App,
        Self::WrongApp,
        Self::PassAsCookie,
        Self::PassAsSession,
        Self::PassAsBearer,
    ];
}

/// A path of this route that exists.
pub fn path_of(route: &Route) -> String {
    match route.path {
        "/assets/{name}" => asset_path("style.css").to_owned(),
        path => path.replace("{client_id}", "dyn-x"),
    }
}

/// The plainest request of this kind: from our own origin, with a body of the right type and nothing in it.
pub fn request(site: &Site, route: &Route, who: Who, ana: &SignedIn) -> Ask {
    let mut ask = Ask::new(route.method.clone(), path_of(route)).same_origin();
    if route.method == http::Method::POST {
        ask = match route.voice {
            Voice::Page => ask.form(&[]),
            Voice::OAuth => ask.form(&[("token", "x")]),
            Voice::Problem => ask.json(&serde_json::json!({})),
        };
    }
    match who {
        Who::Nobody => ask,
        Who::DeadCookie => ask.cookie(SESSION, "hp_ss_dead"),
        Who::Session => ask.cookie(SESSION, &ana.cookie),
        Who::App => ask.by(&site.pos),
        Who::WrongApp => ask.basic("pos", &site.wiki.secret),
        Who::PassAsCookie => ask.cookie(PASS, &ana.pass),
        Who::PassAsSession => ask.cookie(SESSION, &ana.pass),
        Who::PassAsBearer => ask.header("authorization", format!("Bearer {}", ana.pass)),
    }
}

#[tokio::test]
async fn the_matrix() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let matrix = matrix(&site, routes::table(), "auth.company.com", &ana).await;
    assert!(site.is_active(&site.pos, &ana.pass).await, "none of this has changed anything");
    insta::assert_snapshot!(matrix, @r"
    route                                     guard        nobody     dead  session      app    wrong     pass as sess.   bearer
    GET     /                                 visitor     sign-in  sign-in      200  sign-in  sign-in  sign-in  sign-in  sign-in
    GET     /apps                             visitor     sign-in  sign-in      200  sign-in  sign-in  sign-in  sign-in  sign-in
    GET     /assets/{name}                    anybody         200      200      200      200      200      200      200      200
    GET     /favicon.ico                      anybody         200      200      200      200      200      200      200      200
    GET     /sign-in                          visitor         200      200      200      200      200      200      200      200
    POST    /sign-in                          visitor         200      200      200      200      200      200      200      200
    POST    /sign-in/name                     visitor         200      200      200      200      200      200      200      200
    GET     /upstream/kratos/start            visitor         404      404      404      404      404      404      404      404
    GET     /upstream/kratos/callback         visitor         404      404      404      404      404      404      404      404
    GET     /upstream/oidc/start/{name}       visitor         404      404      404      404      404      404      404      404
    GET     /upstream/oidc/callback/{name}    visitor         404      404      404      404      404      404      404      404
    GET     /upstream/oidc/sign-out           visitor         400      400      400      400      400      400      400      400
    GET     /upstream/oidc/signed-out/{name}  visitor         303      303      303      303      303      303      303      303
    POST    /upstream/oidc/backchannel-logout/{name} anybody         404      404      404      404      404      404      404      404
    GET     /continue                         session     sign-in  sign-in      303  sign-in  sign-in  sign-in  sign-in  sign-in
    GET     /sign-out                         visitor         200      200      200      200      200      200      200      200
    POST    /sign-out                         session     sign-in  sign-in      403  sign-in  sign-in  sign-in  sign-in  sign-in
    GET     /sign-out/receipt                 visitor         400      400      400      400      400      400      400      400
    GET     /pass/refresh                     visitor         400      400      400      400      400      400      400      400
    POST    /pass/refresh                     visitor         403      403      403      403      403      403      403      403
    OPTIONS /pass/refresh                     anybody         403      403      403      403      403      403      403      403
    GET     /sign-out/next                    visitor         400      400      400      400      400      400      400      400
    GET     /handoff/authorize                visitor         400      400      400      400      400      400      400      400
    POST    /handoff/continue                 session     sign-in  sign-in      400  sign-in  sign-in  sign-in  sign-in  sign-in
    POST    /handoff/token                    app             403      403      403      400      401      403      403      401
    GET     /handoff/next                     visitor         400      400      400      400      400      400      400      400
    GET     /account                          session     sign-in  sign-in      200  sign-in  sign-in  sign-in  sign-in  sign-in
    POST    /account/sessions/end             session     sign-in  sign-in      403  sign-in  sign-in  sign-in  sign-in  sign-in
    POST    /account/sign-out-everywhere      session     sign-in  sign-in      403  sign-in  sign-in  sign-in  sign-in  sign-in
    POST    /account/apps/revoke              session     sign-in  sign-in      403  sign-in  sign-in  sign-in  sign-in  sign-in
    POST    /account/upstreams/link           session     sign-in  sign-in      403  sign-in  sign-in  sign-in  sign-in  sign-in
    POST    /account/upstreams/unlink         session     sign-in  sign-in      403  sign-in  sign-in  sign-in  sign-in  sign-in
    GET     /account/password                 session     sign-in  sign-in      200  sign-in  sign-in  sign-in  sign-in  sign-in
    POST    /account/password                 session     sign-in  sign-in      403  sign-in  sign-in  sign-in  sign-in  sign-in
    GET     /.well-known/jwks.json            anybody         200      200      200      200      200      200      200      200
    GET     /openapi.json                     anybody         200      200      200      200      200      200      200      200
    GET     /.well-known/openid-configuration anybody         200      200      200      200      200      200      200      200
    GET     /.well-known/oauth-authorization-server anybody         200      200      200      200      200      200      200      200
    GET     /oauth/authorize                  visitor         400      400      400      400      400      400      400      400
    POST    /oauth/authorize                  visitor         303      303      303      303      303      303      303      303
    POST    /oauth/account                    session     sign-in  sign-in      400  sign-in  sign-in  sign-in  sign-in  sign-in
    POST    /oauth/consent                    session     sign-in  sign-in      400  sign-in  sign-in  sign-in  sign-in  sign-in
    GET     /oauth/continue                   visitor         400      400      400      400      400      400      400      400
    POST    /oauth/par                        client          403      403      403      400      401      403      403      401
    OPTIONS /oauth/par                        anybody         403      403      403      403      403      403      403      403
    POST    /oauth/token                      client          403      403      403      400      401      403      403      401
    OPTIONS /oauth/token                      anybody         403      403      403      403      403      403      403      403
    POST    /oauth/device_authorization       client          403      403      403      400      401      403      403      401
    POST    /oauth/register                   registrant      404      404      404      404      404      404      404      404
    GET     /oauth/register/{client_id}       registered      404      404      404      404      404      404      404      404
    PUT     /oauth/register/{client_id}       registered      404      404      404      404      404      404      404      404
    DELETE  /oauth/register/{client_id}       registered      404      404      404      404      404      404      404      404
    GET     /device                           visitor         303      303      200      303      303      303      303      303
    GET     /device/qr                        anybody         400      400      400      400      400      400      400      400
    POST    /device                           session     sign-in  sign-in      403  sign-in  sign-in  sign-in  sign-in  sign-in
    POST    /device/decide                    session     sign-in  sign-in      400  sign-in  sign-in  sign-in  sign-in  sign-in
    GET     /oauth/userinfo                   bearer          401      401      401      401      401      401      401      401
    POST    /oauth/userinfo                   bearer          401      401      401      401      401      401      401      401
    OPTIONS /oauth/userinfo                   anybody         403      403      403      403      403      403      403      403
    POST    /oauth/revoke                     client          403      403      403      200      401      403      403      401
    OPTIONS /oauth/revoke                     anybody         403      403      403      403      403      403      403      403
    GET     /oauth/logout                     visitor         303      303      303      303      303      303      303      303
    POST    /introspect                       client          403      403      403      200      401      403      403      401
    GET     /forward-auth                     gateway         403      403      403      403      403      403      403      403
    POST    /api/v1/sign-in                   app             403      403      403      403      401      403      403      401
    POST    /api/v1/sign-out                  app             403      403      403      400      401      403      403      401
    GET     /api/v1/changes                   app             403      403      403      200      401      403      403      401
    ");
}

/// The same for what the engine answers at the alias of a zone.
#[tokio::test]
async fn the_agents_matrix() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let matrix = matrix(&site, routes::agent_table(), "sso.company2.com", &ana).await;
    insta::assert_snapshot!(matrix, @r"
    route                                     guard        nobody     dead  session      app    wrong     pass as sess.   bearer
    GET     /                                 anybody         303      303      303      303      303      303      303      303
    GET     /assets/{name}                    anybody         200      200      200      200      200      200      200      200
    GET     /favicon.ico                      anybody         200      200      200      200      200      200      200      200
    GET     /.sso/start                       alias           400      400      400      400      400      400      400      400
    GET     /.sso/callback                    alias           403      403      403      403      403      403      403      403
    GET     /.sso/sync                        alias           303      303      303      303      303      303      303      303
    GET     /.well-known/sso-agent            alias           200      200      200      200      200      200      200      200
    ");
}

async fn matrix(site: &Site, table: Vec<Route>, host: &str, ana: &SignedIn) -> String {
    let mut matrix = format!("{:<42}{:<10}", "route", "guard");
    for column in ["nobody", "dead", "session", "app", "wrong", "pass", "as sess.", "bearer"] {
        write!(matrix, "{column:>9}").expect("memory");
    }
    matrix.push('\n');
    for route in table {
        write!(matrix, "{:<8}{:<33} {:<10}", route.method.as_str(), route.path, route.guard).expect("memory");
        for who in Who::ALL {
            let answer = site.open(request(site, &route, who, ana).at(host)).await;
            let to_sign_in = answer.headers().get("location").is_some_and(|location| location == "/sign-in");
            let status = answer.status().as_u16();
            // 303 to sign-in is how a page says 401.
            let shown = if to_sign_in { "sign-in".to_owned() } else { status.to_string() };
            write!(matrix, "{shown:>9}").expect("memory");
        }
        matrix.push('\n');
    }
    matrix
}
