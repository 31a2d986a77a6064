//! Services that apps of others ask to call in somebody's name: opened by the operator, allowed by the person one by one, and taken back.
//! RFC 8707; T20, T25, T33, T52.

use hallpass_core::id::AppKey;
use hallpass_core::oidc::Consent;
use hallpass_store::consents;
use serde_json::json;

use super::consent::{allowed, asked, decide, outcome};
use super::documents::{self, exchange, key};
use super::registration::{PLANNER, registered};
use super::resource::{audience, change, told};
use super::*;

/// What programs that speak MCP call a server: its address, path and all.
const NOTES: &str = "https://notes.company.com/mcp";
const DIARY: &str = "https://diary.company.com/mcp";
const INACTIVE: &str = "{\"active\":false}";

/// An app that is a service, and open to apps of others by this address.
async fn service(site: &Site, key: &str, name: &str) -> Caller {
    site.app(key, |app| {
        app.access = Access::Everyone;
        app.open_to_third_parties = vec![name.parse().expect("a name")];
    })
    .await
}

/// Two services, and a client that has registered itself.
async fn company(site: &Site) -> (Caller, Caller, Caller) {
    let (planner, _) = registered(site).await;
    (planner, service(site, "notes", NOTES).await, service(site, "diary", DIARY).await)
}

/// What the client asks for, for these services.
fn asks_for<'a>(planner: &'a Caller, services: &'a str) -> [(&'static str, Option<&'a str>); 3] {
    let services = Some(services).filter(|services| !services.is_empty());
    [("client_id", Some(&planner.key)), ("redirect_uri", Some(PLANNER)), ("resource", services)]
}

fn silently<'a>(planner: &'a Caller, services: &'a str) -> [(&'static str, Option<&'a str>); 4] {
    let [client, uri, services] = asks_for(planner, services);
    [client, uri, services, ("prompt", Some("none"))]
}

async fn redeemed(site: &Site, planner: &Caller, code: &str, service: Option<&str>) -> Answer {
    redeem(site, planner, code, &[("redirect_uri", Some(PLANNER)), ("resource", service)]).await
}

async fn refreshed(site: &Site, planner: &Caller, tokens: &Tokens, service: Option<&str>) -> Answer {
    let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
    fields.extend(service.map(|service| ("resource", service)));
    site.send(Ask::post("/oauth/token").by(planner).form(&fields)).await
}

async fn allowed_code(browser: &mut Browser<'_>, planner: &Caller, services: &str) -> String {
    let there = allowed(browser, &asks_for(planner, services)).await;
    said(&there, "code").unwrap_or_else(|| panic!("no code in {there}"))
}

async fn allowed_tokens(site: &Site, browser: &mut Browser<'_>, planner: &Caller, services: &str) -> Tokens {
    let code = allowed_code(browser, planner, services).await;
    Tokens::of(&redeemed(site, planner, &code, services.split(' ').next()).await)
}

async fn consent(site: &Site, app: &str) -> Option<Consent> {
    let app: AppKey = app.parse().expect("a key");
    consents::find(&mut site.store().read().await.expect("reads"), &site.ana.id, &app).await.expect("reads")
}

async fn services_allowed(site: &Site, app: &str) -> Option<String> {
    consent(site, app).await.map(|consent| consent.resources.to_string())
}

fn invalid_target() -> (u16, String) {
    (400, "invalid_target".to_owned())
}

/// What nobody here has opened is not even asked about: whoever can put a page somewhere could otherwise have tokens for everything there is.
#[tokio::test]
async fn a_client_that_describes_itself_gets_nothing_for_a_service_that_is_not_open() {
    let (site, host) = documents::open().await;
    let client_id = host.describes("/client.json", &json!({}));
    let stock = site.app("stock", |app| app.access = Access::Everyone).await;
    service(&site, "notes", NOTES).await;
    let mut browser = at_home(&site).await;
    let by = |service| [documents::by(&client_id)[0], documents::by(&client_id)[1], ("resource", Some(service))];
    let closed = [
        "stock",
        "https://stock.company.com",
        "https://stock.company.com/mcp",
        "notes",
        "https://notes.company.com",
        "https://notes.company.com/mcp/",
        "https://notes.company.com/mcp https://stock.company.com",
        "billing",
        HOME,
        "\"",
    ];
    for service in closed {
        let answer = browser.step(&authorize_url(&by(service))).await;
        assert!(answer.status == 400 && answer.header("location").is_none(), "{service} {answer:?}");
        assert!(answer.body.contains("invalid_target"), "{service} {answer:?}");
    }
    assert_eq!(consent(&site, key(&client_id).as_str()).await, None);
    // One that is known is told so itself, wherever it asks.
    let code = documents::allowed_code(&mut browser, &client_id).await;
    for service in closed {
        assert_eq!(outcome(&mut browser, &by(service)).await, "invalid_target", "{service}");
        let request = [
            ("redirect_uri", documents::host::LOOPBACK),
            ("response_type", "code"),
            ("scope", "openid"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", service),
        ];
        let pushed = documents::ask(&site, "/oauth/par", &client_id, &request).await;
        assert_eq!(error(&pushed), invalid_target(), "{service}");
    }
    let fields = [&exchange(&code)[..], &[("resource", "stock")]].concat();
    assert_eq!(error(&documents::ask(&site, "/oauth/token", &client_id, &fields).await), invalid_target());
    let tokens = Tokens::of(&documents::ask(&site, "/oauth/token", &client_id, &exchange(&code)).await);
    for service in ["stock", NOTES] {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh), ("resource", service)];
        let answer = documents::ask(&site, "/oauth/token", &client_id, &fields).await;
        assert_eq!(error(&answer), invalid_target(), "{service}");
    }
    assert_eq!(told(&site, &stock, &tokens.access).await, INACTIVE);
    assert_eq!(services_allowed(&site, key(&client_id).as_str()).await.as_deref(), Some(""));
}

#[tokio::test]
async fn people_read_which_service_it_is_and_the_token_is_for_that_one_alone() {
    let (site, host) = documents::open().await;
    let client_id = host.describes("/client.json", &json!({}));
    let notes = service(&site, "notes", NOTES).await;
    let diary = service(&site, "diary", DIARY).await;
    let mut browser = at_home(&site).await;
    let by = [documents::by(&client_id)[0], documents::by(&client_id)[1], ("resource", Some(NOTES))];
    let page = asked(&mut browser, &by).await;
    let body = &page.answer.body;
    assert!(page.answer.shows("services") && page.answer.shows("described-at"), "{body}");
    assert!(body.contains("The notes") && body.contains("https://notes.<wbr>company.<wbr>com/mcp"), "{body}");
    assert!(!body.contains("diary"), "{body}");
    let there = decide(&mut browser, &page, "allow").await;
    let code = said(browser.step(&there).await.location(), "code").expect("a code");
    let tokens = Tokens::of(&documents::ask(&site, "/oauth/token", &client_id, &exchange(&code)).await);
    assert_eq!(
        (audience(&tokens.access).as_str(), opened(&tokens.access).1["client_id"].as_str()),
        (NOTES, Some(&*client_id))
    );
    assert_eq!(userinfo(&site, &tokens.access).await.status, 401, "it is not for us");
    let said = site.introspect(&notes, &tokens.access).await;
    assert_eq!((&said["aud"], &said["sub"]), (&NOTES.into(), &site.ana.id.to_string().into()), "{said}");
    for other in [&diary, &site.pos] {
        assert_eq!(told(&site, other, &tokens.access).await, INACTIVE, "{}", other.key);
    }
    // It is on the person's own page, and taken back there with everything that came of it.
    let page = browser.open("/account").await;
    assert!(page.answer.shows("allowed-service") && page.answer.body.contains("The notes, https://notes."), "{page:?}");
    let fields = [("csrf_token", page.answer.csrf_token()), ("app_key", &*key(&client_id).to_string())];
    browser.submit(&page.url.join("/account/apps/revoke").expect("an address"), &fields).await;
    assert_eq!(told(&site, &notes, &tokens.access).await, INACTIVE);
    let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
    let answer = documents::ask(&site, "/oauth/token", &client_id, &fields).await;
    assert_eq!(error(&answer), (400, "invalid_grant".to_owned()));
}

/// T25: more services than were allowed are more than was allowed.
#[tokio::test]
async fn leave_for_one_service_is_none_for_another() {
    let site = registration::open().await;
    let (planner, ..) = company(&site).await;
    let mut browser = at_home(&site).await;
    assert_eq!(outcome(&mut browser, &silently(&planner, NOTES)).await, "consent_required");
    let code = allowed_code(&mut browser, &planner, NOTES).await;
    assert_eq!(services_allowed(&site, &planner.key).await.as_deref(), Some(NOTES));
    for (services, before) in [(NOTES, "code"), ("", "code"), (DIARY, "asked"), (&*format!("{NOTES} {DIARY}"), "asked")]
    {
        assert_eq!(outcome(&mut browser, &asks_for(&planner, services)).await, before, "{services}");
        let silent = if before == "asked" { "consent_required" } else { before };
        assert_eq!(outcome(&mut browser, &silently(&planner, services)).await, silent, "{services}");
    }
    for other in [DIARY, "notes", HOME] {
        assert_eq!(error(&redeemed(&site, &planner, &code, Some(other)).await), invalid_target(), "{other}");
    }
    let tokens = Tokens::of(&redeemed(&site, &planner, &code, None).await);
    assert_eq!(audience(&tokens.access), NOTES);
    assert_eq!(error(&refreshed(&site, &planner, &tokens, Some(DIARY)).await), invalid_target());
    let tokens = Tokens::of(&refreshed(&site, &planner, &tokens, None).await);
    assert_eq!(audience(&tokens.access), NOTES, "and nothing was used up");

    // What is allowed adds up, and does not widen what was given before.
    let both = format!("{NOTES} {DIARY}");
    let page = asked(&mut browser, &asks_for(&planner, DIARY)).await;
    assert!(page.answer.body.contains("The diary") && !page.answer.body.contains("The notes"), "{page:?}");
    let there = decide(&mut browser, &page, "allow").await;
    assert!(said(browser.step(&there).await.location(), "code").is_some());
    assert_eq!(services_allowed(&site, &planner.key).await, Some(both.clone()));
    assert_eq!(error(&refreshed(&site, &planner, &tokens, Some(DIARY)).await), invalid_target());
    assert_eq!(outcome(&mut browser, &silently(&planner, &both)).await, "code");
    assert_eq!(reasons(&site, "consent_given").await.len(), 2);
}

/// T20: asked again whenever tokens are made, and of the service that they are for.
#[tokio::test]
async fn each_token_is_held_against_what_is_allowed_now() {
    let site = registration::open().await;
    let (planner, ..) = company(&site).await;
    let mut browser = at_home(&site).await;
    let both = format!("{NOTES} {DIARY}");
    let tokens = allowed_tokens(&site, &mut browser, &planner, &both).await;
    let silent = browser.step(&authorize_url(&silently(&planner, &both))).await;
    let code = said(silent.location(), "code").expect("a code");
    let mut write = site.store().write().await.expect("writes");
    let app: AppKey = planner.key.parse().expect("a key");
    let before = consents::find(&mut write, &site.ana.id, &app).await.expect("reads").expect("is there");
    assert!(consents::revoke(&mut write, &site.ana.id, &app, site.now()).await.expect("revokes"));
    let fewer = NOTES.parse().expect("names");
    consents::give(&mut write, &site.ana.id, &app, before.scope, &fewer, site.now()).await.expect("gives");
    write.commit().await.expect("commits");
    site.heard().await;
    assert_eq!(
        error(&refreshed(&site, &planner, &tokens, Some(NOTES)).await),
        (400, "invalid_grant".to_owned()),
        "ended"
    );
    for (service, expected) in [(DIARY, 400), (NOTES, 200)] {
        let answer = redeemed(&site, &planner, &code, Some(service)).await;
        assert_eq!(answer.status, expected, "{answer:?}");
        if expected == 400 {
            assert_eq!(error(&answer), invalid_target(), "the code was for it, the person is not any more");
        }
    }
}

/// An app that was the company's own when its tokens were made, and nobody was asked.
#[tokio::test]
async fn what_was_given_without_a_question_ends_when_there_is_one_to_ask() {
    let site = Site::start().await;
    site.app("stock", |app| app.access = Access::Everyone).await;
    let crm = client_with(&site, "crm", |app| app.audiences = vec!["stock".parse().expect("a name")]).await;
    let mut browser = at_home(&site).await;
    let stock = [("resource", Some("stock"))];
    let tokens = Tokens::of(&redeem(&site, &crm, &code(&mut browser, &stock).await, &[]).await);
    let unused = code(&mut browser, &stock).await;
    change(&site, "crm", |app| app.third_party = true).await;
    let answer = refresh(&site, &crm, &tokens.refresh).await;
    assert_eq!(error(&answer), (400, "invalid_grant".to_owned()), "not even who it is");
    consent::allow(&mut browser, &[]).await;
    assert_eq!(error(&refresh(&site, &crm, &tokens.refresh).await), invalid_target(), "who it is, but not the service");
    assert_eq!(error(&redeem(&site, &crm, &unused, &[]).await), invalid_target());
    assert_eq!(outcome(&mut browser, &stock).await, "asked");
    consent::allow(&mut browser, &stock).await;
    assert_eq!(audience(&Tokens::of(&refresh(&site, &crm, &tokens.refresh).await).access), "stock");
    assert_eq!(audience(&Tokens::of(&redeem(&site, &crm, &unused, &[]).await).access), "stock");
}

#[tokio::test]
async fn a_service_that_is_closed_gets_no_more_of_it() {
    let site = registration::open().await;
    let (planner, notes, _) = company(&site).await;
    let mut browser = at_home(&site).await;
    let tokens = allowed_tokens(&site, &mut browser, &planner, NOTES).await;
    let silent = browser.step(&authorize_url(&silently(&planner, NOTES))).await;
    let code = said(silent.location(), "code").expect("a code");
    assert!(site.is_active(&notes, &tokens.access).await);
    change(&site, "notes", |app| {
        app.open_to_third_parties = vec!["https://notes.company.com/v2".parse().expect("a name")];
    })
    .await;
    assert_eq!(told(&site, &notes, &tokens.access).await, INACTIVE, "at once");
    assert_eq!(error(&refreshed(&site, &planner, &tokens, None).await), invalid_target());
    assert_eq!(error(&redeemed(&site, &planner, &code, None).await), invalid_target());
    assert_eq!(outcome(&mut browser, &silently(&planner, NOTES)).await, "invalid_target");
    change(&site, "notes", |app| app.open_to_third_parties = vec![NOTES.parse().expect("a name")]).await;
    assert!(site.is_active(&notes, &tokens.access).await);
    change(&site, "notes", |app| app.disabled_at = Some(site.now())).await;
    assert_eq!(error(&refreshed(&site, &planner, &tokens, None).await), invalid_target());
    change(&site, "notes", |app| app.disabled_at = None).await;
    assert_eq!(refreshed(&site, &planner, &tokens, None).await.status, 200, "nothing was used up");
}

/// A service that only looks at whom a token is for would let everybody in.
#[tokio::test]
async fn an_app_of_others_gets_nobody_to_where_they_may_not_go() {
    let site = registration::open().await;
    let (planner, notes, _) = company(&site).await;
    let mut browser = at_home(&site).await;
    change(&site, "notes", |app| app.access = Access::Assigned).await;
    assert_eq!(outcome(&mut browser, &asks_for(&planner, NOTES)).await, "access_denied");
    assert_eq!(outcome(&mut browser, &asks_for(&planner, &format!("{DIARY} {NOTES}"))).await, "access_denied");
    assert_eq!(consent(&site, &planner.key).await, None);
    change(&site, "notes", |app| app.access = Access::Everyone).await;
    let tokens = allowed_tokens(&site, &mut browser, &planner, NOTES).await;
    let silent = browser.step(&authorize_url(&silently(&planner, NOTES))).await;
    let code = said(silent.location(), "code").expect("a code");
    assert!(site.is_active(&notes, &tokens.access).await);
    change(&site, "notes", |app| app.access = Access::Assigned).await;
    assert_eq!(told(&site, &notes, &tokens.access).await, INACTIVE);
    assert_eq!(error(&refreshed(&site, &planner, &tokens, None).await), invalid_target());
    assert_eq!(error(&redeemed(&site, &planner, &code, None).await), invalid_target());
    // The company's own apps may call what they declare; whom it serves is the service's own business, as ever.
    let own = client_with(&site, "crm", |app| app.audiences = vec!["notes".parse().expect("a name")]).await;
    let code = super::code(&mut browser, &[("resource", Some(NOTES))]).await;
    assert_eq!(audience(&Tokens::of(&redeem(&site, &own, &code, &[]).await).access), "notes");
}

/// T52: the answer is to what the page said, and nobody's name becomes part of the page.
#[tokio::test]
async fn hostile_names_stay_names_and_another_name_is_another_question() {
    let (site, host) = documents::open().await;
    let evil = "<script>\"'&</strong>Hallpass";
    let client_id = host.describes("/client.json", &json!({ "client_name": evil }));
    // In an address what is left of it can be any visible letter but a quotation mark.
    let address = "https://notes.company.com/<script>'&</strong>";
    service(&site, "notes", address).await;
    change(&site, "notes", |app| app.name = evil.to_owned()).await;
    let mut browser = at_home(&site).await;
    let by = [documents::by(&client_id)[0], documents::by(&client_id)[1], ("resource", Some(address))];
    let page = asked(&mut browser, &by).await;
    let escaped = "&#60;script&#62;&#34;&#39;&#38;&#60;/strong&#62;Hallpass";
    assert!(!page.answer.body.contains("<script") && page.answer.body.matches(escaped).count() >= 2, "{page:?}");
    assert!(page.answer.body.contains("/&#60;script&#62;&#39;&#38;&#60;/strong&#62;"), "{page:?}");
    change(&site, "notes", |app| app.name = "Payroll".to_owned()).await;
    let fields = [("csrf_token", page.answer.csrf_token()), ("decision", "allow")];
    assert_eq!(browser.submit(&page.action(), &fields).await.answer.status, 403, "it was asked about something else");
    assert_eq!(consent(&site, key(&client_id).as_str()).await, None);
    change(&site, "notes", |app| app.name = evil.to_owned()).await;
    let landing = browser.submit(&page.action(), &fields).await;
    assert!(onward(&landing.answer).contains("/oauth/continue"), "{landing:?}");
    let account = browser.open("/account").await;
    assert!(account.answer.shows("allowed-service") && !account.answer.body.contains("<script"), "{account:?}");
}

/// A program of the company's own, too, that could be any: the page says what it could do.
#[tokio::test]
async fn a_program_that_could_be_any_says_what_it_wants_each_time() {
    let site = Site::start().await;
    site.app("stock", |_| ()).await;
    native_client_with(&site, "tool", &["http://127.0.0.1/callback"], |app| {
        app.audiences = ["stock", "billing"].map(|name| name.parse().expect("a name")).into();
    })
    .await;
    let mut browser = at_home(&site).await;
    let by = [
        ("client_id", Some("tool")),
        ("redirect_uri", Some("http://127.0.0.1/callback")),
        ("resource", Some("stock billing")),
    ];
    for _ in 0..2 {
        let page = asked(&mut browser, &by).await;
        let body = &page.answer.body;
        assert!(
            page.answer.shows("services")
                && body.contains("The stock")
                && body.contains("It is not one of the apps here"),
            "{body}"
        );
        let there = decide(&mut browser, &page, "allow").await;
        assert!(said(browser.step(&there).await.location(), "code").is_some());
    }
    let page = asked(&mut browser, &by[..2]).await;
    assert!(!page.answer.shows("services"), "{page:?}");
}

/// RFC 8693: what signed somebody in does not become what they were not asked about.
#[tokio::test]
async fn an_app_of_others_exchanges_a_token_for_what_was_allowed() {
    let site = Site::start().await;
    let stock = site.app("stock", |app| app.access = Access::Everyone).await;
    let crm = client_with(&site, "crm", |app| {
        app.third_party = true;
        app.audiences = vec!["stock".parse().expect("a name")];
    })
    .await;
    let mut browser = at_home(&site).await;
    let plain = consent::allow(&mut browser, &[]).await;
    let tokens = Tokens::of(&redeem(&site, &crm, &plain, &[]).await);
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token", &*tokens.access),
        ("audience", "stock"),
    ];
    let exchanged = async || site.send(Ask::post("/oauth/token").by(&crm).form(&fields)).await;
    assert_eq!(error(&exchanged().await), invalid_target());
    consent::allow(&mut browser, &[("resource", Some("stock"))]).await;
    let answer = exchanged().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let downstream = answer.json()["access_token"].as_str().expect("a token").to_owned();
    assert!(site.is_active(&stock, &downstream).await);
    change(&site, "stock", |app| app.access = Access::Assigned).await;
    assert_eq!(error(&exchanged().await), invalid_target());
}
