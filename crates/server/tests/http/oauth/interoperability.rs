//! Somebody else's client against our listener: the crate `openidconnect`, from discovery to a refreshed token. What it verifies it verifies by
//! the standard, not by our reading of it.

use hallpass_core::app::App;
use hallpass_core::oidc::IdTokenAlgorithm;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientRegistrationRequest, CoreJwsSigningAlgorithm, CoreProviderMetadata,
    CoreUserInfoClaims,
};
use openidconnect::registration::EmptyAdditionalClientMetadata;
use openidconnect::{
    AccessToken, AuthorizationCode, ClientId, ClientName, ClientSecret, CsrfToken, HttpRequest, HttpResponse,
    IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge, RedirectUrl, Scope, TokenResponse,
};

use super::registration::{INITIAL, PLANNER, open};
use super::{CALLBACK, at_home, client_with, onward, said};
use crate::support::{HOME, Live};

/// What the library asks at `https://auth.company.com` is asked of the listener, as a proxy that ends TLS would.
async fn by_way_of(address: std::net::SocketAddr, request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let (parts, body) = request.into_parts();
    let host = parts.uri.host().expect("an absolute address").to_owned();
    let path = parts.uri.path_and_query().expect("a path").as_str().to_owned();
    let asked = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
    let mut asked = asked.request(parts.method, format!("http://{address}{path}")).body(body);
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != http::header::HOST) {
        asked = asked.header(name, value);
    }
    let answer = asked.header("host", host).send().await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = http::Response::new(answer.bytes().await?.to_vec());
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    Ok(response)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_only_the_standard_gets_along() {
    let algorithm = Box::pin(gets_along(|_| ())).await;
    assert_eq!(algorithm, CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256, "what a client gets that has no wishes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_would_rather_have_a_small_signature_gets_along() {
    let algorithm = Box::pin(gets_along(|app| app.id_token_alg = IdTokenAlgorithm::EdDsa)).await;
    assert_eq!(algorithm, CoreJwsSigningAlgorithm::EdDsa);
}

/// From discovery to a refreshed token; by which algorithm the client was convinced.
async fn gets_along(change: impl FnOnce(&mut App)) -> CoreJwsSigningAlgorithm {
    let live = Live::start_by_the_systems_clock().await;
    let crm = client_with(&live.site, "crm", change).await;
    let address = live.address;
    let ask = move |request| by_way_of(address, request);

    let issuer = IssuerUrl::new(HOME.to_owned()).expect("a URL");
    let metadata = CoreProviderMetadata::discover_async(issuer, &ask).await.expect("documents that fit together");
    let client = CoreClient::from_provider_metadata(
        metadata,
        ClientId::new(crm.key.clone()),
        Some(ClientSecret::new(crm.secret.clone())),
    )
    .set_redirect_uri(RedirectUrl::new(CALLBACK.to_owned()).expect("a URL"));

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (there, state, nonce) = client
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
        .add_scope(Scope::new("profile".to_owned()))
        .set_pkce_challenge(challenge)
        .url();
    let mut browser = at_home(&live.site).await;
    let back = browser.step(there.as_str()).await.location().to_owned();
    assert_eq!(said(&back, "state").as_ref(), Some(state.secret()));

    let code = AuthorizationCode::new(said(&back, "code").expect("a code"));
    let tokens = client.exchange_code(code).expect("a token endpoint").set_pkce_verifier(verifier);
    let tokens = tokens.request_async(&ask).await.expect("tokens");
    let id_token = tokens.id_token().expect("an ID token");
    let claims =
        id_token.claims(&client.id_token_verifier(), &nonce).expect("signature, issuer, audience, times, nonce");
    assert_eq!(claims.subject().as_str(), live.site.ana.id.to_string());
    assert!(claims.auth_time().is_some() && claims.access_token_hash().is_none());
    assert!(id_token.claims(&client.id_token_verifier(), &Nonce::new_random()).is_err(), "it does check");

    let subject = Some(claims.subject().clone());
    let userinfo = client.user_info(tokens.access_token().clone(), subject).expect("a userinfo endpoint");
    let userinfo: CoreUserInfoClaims = userinfo.request_async(&ask).await.expect("claims about the same person");
    assert_eq!(userinfo.preferred_username().expect("a name").as_str(), "ana");

    let refresh = tokens.refresh_token().expect("a refresh token");
    let refreshed = client.exchange_refresh_token(refresh).expect("a token endpoint");
    let refreshed = refreshed.request_async(&ask).await.expect("tokens");
    assert_ne!(refreshed.refresh_token().map(openidconnect::RefreshToken::secret), Some(refresh.secret()));
    let again = refreshed.id_token().expect("an ID token");
    // A refreshed one repeats no nonce (OIDC Core 1.0 §12.2).
    let no_nonce = |nonce: Option<&Nonce>| nonce.map_or(Ok(()), |_| Err("a nonce".to_owned()));
    let again = again.claims(&client.id_token_verifier(), no_nonce).expect("verifies");
    assert_eq!((again.subject(), again.auth_time()), (claims.subject(), claims.auth_time()));
    id_token.signing_alg().expect("it is signed").clone()
}

/// Discovery, registration, and a code, as a program does it that was told our issuer and a token.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_registers_itself_gets_along() {
    let live = Live::of(open().await).await;
    let address = live.address;
    let ask = move |request| by_way_of(address, request);
    let issuer = IssuerUrl::new(HOME.to_owned()).expect("a URL");
    let metadata = CoreProviderMetadata::discover_async(issuer, &ask).await.expect("documents that fit together");
    let planner = || RedirectUrl::new(PLANNER.to_owned()).expect("a URL");
    let name = [(None, ClientName::new("Holiday planner".to_owned()))].into_iter().collect();
    let request = CoreClientRegistrationRequest::new(vec![planner()], EmptyAdditionalClientMetadata {})
        .set_client_name(Some(name))
        .set_initial_access_token(Some(AccessToken::new(INITIAL.to_owned())));
    let endpoint = metadata.registration_endpoint().expect("it is in the discovery document").clone();
    let registered = request.register_async(&endpoint, &ask).await.expect("a registration");
    assert!(registered.registration_access_token().is_some() && registered.registration_client_uri().is_some());
    let (id, secret) = (registered.client_id().clone(), registered.client_secret().cloned());
    let client = CoreClient::from_provider_metadata(metadata, id, secret).set_redirect_uri(planner());
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (there, ..) = client
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
        .set_pkce_challenge(challenge)
        .url();
    let mut browser = at_home(&live.site).await;
    let page = browser.open(there.as_str()).await;
    let fields = [("csrf_token", page.answer.csrf_token()), ("decision", "allow")];
    let there = onward(&browser.submit(&page.action(), &fields).await.answer);
    let code = AuthorizationCode::new(said(browser.step(&there).await.location(), "code").expect("a code"));
    let tokens = client.exchange_code(code).expect("a token endpoint").set_pkce_verifier(verifier);
    let tokens = tokens.request_async(&ask).await.expect("tokens");
    assert!(tokens.id_token().is_some() && tokens.refresh_token().is_some());
}
