//! Hallpass as the provider of another Hallpass: nothing in between is imitated.

use std::sync::Arc;

use hallpass_core::app::Access;
use hallpass_core::logout::LogoutUrl;
use hallpass_core::oidc::IdTokenAlgorithm;
use hallpass_core::session::{Acr, EndReason};
use hallpass_server::sign_out::deliver::deliver;
use http::{StatusCode, header};
use tokio::net::TcpListener;

use super::*;
use crate::oauth;
use crate::sign_out_everywhere::Backend;
use crate::support::{Ask, PASS, PASSWORD};

/// The company and its partner, where people have their accounts. The partner is at an address of its own.
async fn two(algorithm: IdTokenAlgorithm, change: impl FnOnce(&mut OidcConfig)) -> (Site, Arc<Site>) {
    two_with(algorithm, Vec::new(), change).await
}

/// The same, and the partner tells of sign-outs there.
async fn two_with(
    algorithm: IdTokenAlgorithm,
    logout_urls: Vec<LogoutUrl>,
    change: impl FnOnce(&mut OidcConfig),
) -> (Site, Arc<Site>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let issuer = format!("http://auth.partner.localhost:{}", listener.local_addr().expect("bound").port());
    let partner = Site::start_with(|config| {
        config.public_url = Some(issuer.parse().expect("an origin"));
        config.cookie_domain = Some("partner.localhost".to_owned());
        config.sign_out.allow_internal = vec!["127.0.0.1".to_owned().try_into().expect("a network")];
    });
    let partner = Arc::new(partner.await);
    let back = format!("{HOME}/upstream/oidc/callback/partner");
    let client = partner.app("hallpass", |app| {
        app.logout_urls = logout_urls;
        app.post_logout_redirect_uris =
            vec![format!("{HOME}/upstream/oidc/signed-out/partner").parse().expect("a URI")];
        app.access = Access::Everyone;
        app.origins = Vec::new();
        app.redirect_uris = vec![back.parse().expect("a URI")];
        app.id_token_alg = algorithm;
    });
    let client = client.await;
    let served = partner.clone();
    tokio::spawn(async move { served.engine.serve(listener).await });
    let config = provider("partner", &issuer, change);
    std::fs::create_dir_all(partner.directory()).expect("there");
    let file = partner.directory().join("client.secret");
    std::fs::write(&file, &client.secret).expect("written");
    let config = OidcConfig { client_secret: SecretSource { file: Some(file), ..SecretSource::default() }, ..config };
    (company(vec![config]).await, partner)
}

/// Follows a browser's person from one to the other: what one browser would do at both.
async fn sign_in_there(here: &mut Browser<'_>, there: &mut Browser<'_>, start: &str, who: &str) -> Landing {
    let leaving = here.open(start).await;
    let arrived = there.open(leaving.url.as_str()).await;
    let arrived = if arrived.answer.body.contains("name=\"password\"") {
        let token = arrived.answer.csrf_token().to_owned();
        let fields = [("csrf_token", &*token), ("username", who), ("password", PASSWORD)];
        there.submit(&arrived.action(), &fields).await
    } else {
        arrived
    };
    here.open(arrived.url.as_str()).await
}

#[tokio::test]
async fn who_signs_in_there_is_known_here_and_at_the_app() {
    for algorithm in [IdTokenAlgorithm::Rs256, IdTokenAlgorithm::EdDsa] {
        let (site, partner) = two(algorithm, |_| ()).await;
        partner.user_with("mia", |mia| mia.email = Some("mia@partner.com".to_owned())).await;
        let (mut here, mut there) = (Browser::new(&site), Browser::new(&partner));
        let page = here.open("/sign-in?app=wiki&return_to=https%3A%2F%2Fwiki.company.com%2Fa%3Fb").await;
        assert!(page.answer.body.contains("Continue with partner"), "{page:?}");
        let start = "/upstream/oidc/start/partner?app=wiki&return_to=https%3A%2F%2Fwiki.company.com%2Fa%3Fb";
        assert!(page.answer.body.contains(&start.replace('&', "&#38;")), "{page:?}");
        let landing = sign_in_there(&mut here, &mut there, start, "mia").await;
        assert_eq!(landing.url.as_str(), "https://wiki.company.com/a?b", "{landing:?}");
        let pass = here.cookie("https://wiki.company.com/", PASS).expect("a pass");
        assert_eq!(site.introspect(&site.wiki, &pass).await["username"], "mia");
        assert!(!site.is_active(&site.pos, &pass).await, "a new user may enter what everybody may, and nothing else");
        let mia = person_of(&site, &here).await.expect("signed in");
        assert_eq!((mia.display_name.as_str(), mia.email.as_deref()), ("mia Costa", Some("mia@partner.com")));
        let session = session_of(&site, &here).await.expect("a session");
        assert_eq!((session.acr, session.authenticated_at), (Acr::Aal1, site.now()));
        assert!(!here.carried(HOME).contains("hallpass-up-"), "the transaction is over");
        assert_eq!((reasons(&site, "user_added").await.len(), reasons(&site, "upstream_linked").await.len()), (1, 1));
        // Signed in there already, they come through without a form, as the same person in a new session.
        site.wait(60);
        let mut again = Browser::new(&site);
        sign_in_there(&mut again, &mut there, "/upstream/oidc/start/partner", "").await;
        assert_eq!(person_of(&site, &again).await.expect("signed in").id, mia.id);
        let later = session_of(&site, &again).await.expect("a session");
        assert_eq!(later.authenticated_at, session.authenticated_at, "nobody has proved anything since");
        assert_ne!(later.id, session.id);
        assert_eq!(reasons(&site, "user_added").await.len(), 1);
    }
}

/// A client of ours asks for a new proof: being signed in at the provider is none.
#[tokio::test]
async fn a_new_proof_is_asked_for_there_too() {
    let (site, partner) = two(IdTokenAlgorithm::Rs256, |_| ()).await;
    oauth::client(&site, "crm").await;
    partner.user("mia").await;
    let (mut here, mut there) = (Browser::new(&site), Browser::new(&partner));
    sign_in_there(&mut here, &mut there, "/upstream/oidc/start/partner", "mia").await;
    let before = session_of(&site, &here).await.expect("a session");
    for apart in [&site, &*partner] {
        apart.wait(600);
    }
    let page = here.open(&oauth::authorize_url(&[("max_age", Some("300"))])).await;
    let (_, link) = page.answer.body.split_once("href=\"/upstream/oidc/start/partner").expect("a way");
    let start =
        format!("/upstream/oidc/start/partner{}", link.split_once('"').expect("it ends").0.replace("&#38;", "&"));
    let leaving = here.open(&start).await;
    let arrived = there.open(leaving.url.as_str()).await;
    assert!(arrived.answer.body.contains("name=\"password\""), "the partner asks, too: {arrived:?}");
    let landing = sign_in_there(&mut here, &mut there, &start, "mia").await;
    assert!(said(landing.url.as_str(), "code").is_some(), "{landing:?}");
    let after = session_of(&site, &here).await.expect("a session");
    assert_eq!((after.user_id, after.authenticated_at), (before.user_id, site.now()));
}

/// The partner's own logout token, posted on as it came: the person has signed out there, by one browser of two.
#[tokio::test]
async fn who_signs_out_there_is_signed_out_here() {
    for algorithm in [IdTokenAlgorithm::Rs256, IdTokenAlgorithm::EdDsa] {
        let mut backend = Backend::start(&[StatusCode::OK]).await;
        let (site, partner) = two_with(algorithm, vec![backend.url.parse().expect("an address")], |_| ()).await;
        partner.user("mia").await;
        let (mut here, mut there) = (Browser::new(&site), Browser::new(&partner));
        sign_in_there(&mut here, &mut there, "/upstream/oidc/start/partner", "mia").await;
        let (mut other, mut other_there) = (Browser::new(&site), Browser::new(&partner));
        sign_in_there(&mut other, &mut other_there, "/upstream/oidc/start/partner", "mia").await;
        let page = there.open(&format!("{}/sign-out", partner.engine.context.public_url)).await;
        there.submit(&page.action(), &[("csrf_token", page.answer.csrf_token())]).await;
        deliver(partner.engine.context.clone()).await.expect("tells");
        let token = backend.next_token().await;
        let path = "/upstream/oidc/backchannel-logout/partner";
        let answer = site.send(Ask::post(path).form(&[("logout_token", &token)])).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let ended = session_of(&site, &here).await.expect("a session").ended.expect("over");
        assert_eq!(ended.reason, EndReason::UpstreamEnded);
        assert!(session_of(&site, &other).await.expect("a session").ended.is_none());
    }
}

/// And the other way round: who signs out here is signed out there, without a question, and comes back.
#[tokio::test]
async fn who_signs_out_here_is_signed_out_there() {
    for algorithm in [IdTokenAlgorithm::Rs256, IdTokenAlgorithm::EdDsa] {
        let (site, partner) = two(algorithm, |config| config.sign_out = true).await;
        partner.user("mia").await;
        let (mut here, mut there) = (Browser::new(&site), Browser::new(&partner));
        sign_in_there(&mut here, &mut there, "/upstream/oidc/start/partner", "mia").await;
        let account = format!("{}/account", partner.engine.context.public_url);
        assert_eq!(there.open(&account).await.url.as_str(), account, "signed in there");
        let page = here.open("/sign-out").await;
        let leaving = here.submit(&page.action(), &[("csrf_token", page.answer.csrf_token())]).await;
        let back = there.open(&oauth::onward(&leaving.answer)).await;
        assert_eq!(there.open(&account).await.url.path(), "/sign-in", "{back:?}");
        assert_eq!(here.open(back.url.as_str()).await.url.path(), "/sign-out/receipt", "{back:?}");
    }
}

/// T50: switched off there, switched off here, or no provider any more.
#[tokio::test]
async fn who_is_disabled_on_either_side_stays_outside() {
    let (site, partner) = two(IdTokenAlgorithm::EdDsa, |_| ()).await;
    let there_mia = partner.user("mia").await;
    let (mut here, mut there) = (Browser::new(&site), Browser::new(&partner));
    sign_in_there(&mut here, &mut there, "/upstream/oidc/start/partner", "mia").await;
    let mia = person_of(&site, &here).await.expect("signed in");
    site.disable(&mia).await;
    let mut other = Browser::new(&site);
    let landing = sign_in_there(&mut other, &mut there, "/upstream/oidc/start/partner", "mia").await;
    assert_refused(&site, &other, &landing, "user_disabled").await;
    assert_eq!(here.open("/account").await.url.path(), "/sign-in", "and the session that was there is over");
    partner.disable(&there_mia).await;
    let leaving = other.open("/upstream/oidc/start/partner").await;
    let refused = there.open(leaving.url.as_str()).await;
    assert!(refused.answer.body.contains("name=\"password\""), "{refused:?}");
    let fields = [("csrf_token", refused.answer.csrf_token()), ("username", "mia"), ("password", PASSWORD)];
    assert_eq!(there.submit(&refused.action(), &fields).await.answer.status, 422);
    let gone = company(Vec::new()).await;
    for address in ["/upstream/oidc/start/partner", "/upstream/oidc/callback/partner?code=x&state=y"] {
        assert_eq!(Browser::new(&gone).open(address).await.answer.status, 404);
    }
}

/// T23, T45: an answer is good once, and in the browser that asked.
#[tokio::test]
async fn an_answer_is_good_once_and_in_its_own_browser() {
    let (site, partner) = two(IdTokenAlgorithm::EdDsa, |_| ()).await;
    partner.user("mia").await;
    let (mut here, mut there) = (Browser::new(&site), Browser::new(&partner));
    let leaving = here.open("/upstream/oidc/start/partner").await;
    let kept = here.carried(HOME);
    let form = there.open(leaving.url.as_str()).await;
    let fields = [("csrf_token", form.answer.csrf_token()), ("username", "mia"), ("password", PASSWORD)];
    let back = there.submit(&form.action(), &fields).await.url;
    // Somebody who has seen the address.
    let mut thief = Browser::new(&site);
    let landing = thief.open(back.as_str()).await;
    assert_refused(&site, &thief, &landing, "upstream_no_transaction").await;
    assert!(landing.answer.headers.get_all(header::SET_COOKIE).iter().next().is_none(), "T44: no cookie is set");
    assert_eq!(here.open(back.as_str()).await.url.path(), "/");
    let session = session_of(&site, &here).await.expect("a session");
    // The same browser once more, and somebody with a copy of all that it carried on its way.
    assert_eq!(here.open(back.as_str()).await.answer.status, 403);
    assert_eq!(session_of(&site, &here).await.expect("a session").id, session.id, "nothing has happened to it");
    let mut copy = Browser::new(&site);
    for pair in kept.split("; ") {
        copy.toss(HOME, &format!("{pair}; Path=/; Secure"));
    }
    let landing = copy.open(back.as_str()).await;
    assert_refused(&site, &copy, &landing, "upstream_answer_used").await;
}
