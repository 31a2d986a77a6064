//! Whether an app of somebody else may know who the person is: asked once, of the right person, about what is shown, and taken back at once.
//! OIDC Core 1.0 §3.1.2.4; T20, T25, T41, T51, T52.

use hallpass_core::id::AppKey;
use hallpass_core::user::User;
use hallpass_store::consents;

use super::*;
use crate::support::{Landing, SESSION};

/// A client of somebody else.
async fn theirs(site: &Site) -> Caller {
    client_with(site, "crm", |app| app.third_party = true).await
}

/// What the person has allowed `crm`.
async fn remembered(site: &Site, user: &User) -> Option<String> {
    let app: AppKey = "crm".parse().expect("a key");
    let mut read = site.store().read().await.expect("reads");
    consents::find(&mut read, &user.id, &app).await.expect("reads").map(|consent| consent.scope.to_string())
}

/// The question.
pub async fn asked(browser: &mut Browser<'_>, changes: &[(&str, Option<&str>)]) -> Landing {
    let page = browser.open(&authorize_url(changes)).await;
    assert!(page.answer.status == 200 && page.answer.shows("allow") && page.answer.shows("deny"), "{page:?}");
    page
}

/// The click, and where the page behind it leads.
pub async fn decide(browser: &mut Browser<'_>, page: &Landing, decision: &str) -> String {
    let fields = [("csrf_token", page.answer.csrf_token()), ("decision", decision)];
    let landing = browser.submit(&page.action(), &fields).await;
    onward(&landing.answer)
}

pub async fn allow(browser: &mut Browser<'_>, changes: &[(&str, Option<&str>)]) -> String {
    let there = allowed(browser, changes).await;
    said(&there, "code").unwrap_or_else(|| panic!("no code in {there}"))
}

/// Where it leads when it has been allowed.
pub async fn allowed(browser: &mut Browser<'_>, changes: &[(&str, Option<&str>)]) -> String {
    let page = asked(browser, changes).await;
    let there = decide(browser, &page, "allow").await;
    browser.step(&there).await.location().to_owned()
}

pub async fn outcome(browser: &mut Browser<'_>, changes: &[(&str, Option<&str>)]) -> String {
    let answer = browser.step(&authorize_url(changes)).await;
    if answer.shows("allow") {
        return "asked".to_owned();
    }
    said(answer.location(), "error").unwrap_or_else(|| "code".to_owned())
}

/// Takes it back on the person's own page.
pub async fn take_back(browser: &mut Browser<'_>) -> Landing {
    let page = browser.open("/account").await;
    assert!(page.answer.shows("allowed-app"), "{page:?}");
    let there = page.url.join("/account/apps/revoke").expect("an address");
    browser.submit(&there, &[("csrf_token", page.answer.csrf_token()), ("app_key", "crm")]).await
}

#[tokio::test]
async fn somebody_elses_app_is_allowed_once_and_told_who_it_is() {
    let site = Site::start().await;
    let crm = theirs(&site).await;
    let mut browser = at_home(&site).await;
    let page = asked(&mut browser, &[]).await;
    let body = &page.answer.body;
    for shown in ["The crm", "crm.<wbr>company.<wbr>com", "ana Costa", "Your name and user name", "Your e-mail address"]
    {
        assert!(body.contains(shown), "{shown} in {body}");
    }
    let there = decide(&mut browser, &page, "allow").await;
    assert!(there.starts_with(&format!("{HOME}/oauth/continue?app=crm&pending=")), "{there}");
    let answer = browser.step(&there).await;
    assert_eq!(said(answer.location(), "state").as_deref(), Some("st&te"));
    let code = said(answer.location(), "code").expect("a code");
    assert_eq!(redeem(&site, &crm, &code, &[]).await.status, 200);
    assert_eq!(remembered(&site, &site.ana).await.as_deref(), Some("openid profile email"));
    assert_eq!(outcome(&mut browser, &[]).await, "code", "and is not asked again");
    assert_eq!(outcome(&mut browser, &[("prompt", Some("none"))]).await, "code");
    assert_eq!(reasons(&site, "consent_given").await.len(), 1);
}

#[tokio::test]
async fn whoever_does_not_want_to_goes_back_without_having_been_named() {
    let site = Site::start().await;
    theirs(&site).await;
    let mut browser = at_home(&site).await;
    assert_eq!(outcome(&mut browser, &[("prompt", Some("none"))]).await, "consent_required");
    let page = asked(&mut browser, &[]).await;
    let there = decide(&mut browser, &page, "deny").await;
    assert!(there.starts_with(&format!("{CALLBACK}?error=access_denied&")), "{there}");
    assert_eq!((said(&there, "state").as_deref(), said(&there, "iss").as_deref()), (Some("st&te"), Some(HOME)));
    assert_eq!(remembered(&site, &site.ana).await, None);
    assert_eq!(outcome(&mut browser, &[]).await, "asked", "a no is not remembered");
}

/// T25: what a code brings is what was allowed.
#[tokio::test]
async fn more_than_was_allowed_is_asked_for_again() {
    let site = Site::start().await;
    let crm = theirs(&site).await;
    let mut browser = at_home(&site).await;
    let scope = |scope| [("scope", Some(scope))];
    let code = allow(&mut browser, &scope("openid profile")).await;
    assert_eq!(redeem(&site, &crm, &code, &[]).await.json()["scope"], "openid profile");
    assert_eq!(outcome(&mut browser, &scope("openid")).await, "code");
    assert_eq!(outcome(&mut browser, &scope("openid email")).await, "asked");
    let silent = [("scope", Some("openid email")), ("prompt", Some("none"))];
    assert_eq!(outcome(&mut browser, &silent).await, "consent_required");
    allow(&mut browser, &scope("openid email")).await;
    assert_eq!(remembered(&site, &site.ana).await.as_deref(), Some("openid profile email"), "one beside the other");
    assert_eq!(outcome(&mut browser, &scope("openid profile email")).await, "code");
}

#[tokio::test]
async fn prompt_consent_asks_each_time_and_of_everybodys_app() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    assert_eq!(outcome(&mut browser, &[]).await, "code", "the company's own app needs no leave");
    site.wait(1);
    for _ in 0..2 {
        let page = asked(&mut browser, &[("prompt", Some("consent"))]).await;
        let unchanged = page.action().query().expect("pending").to_owned();
        assert!(
            browser.step(&format!("{HOME}/oauth/continue?{unchanged}")).await.shows("allow"),
            "nobody walks past it"
        );
        let there = decide(&mut browser, &page, "allow").await;
        assert!(said(browser.step(&there).await.location(), "code").is_some());
        assert!(!page.answer.body.contains("not one of our own"), "{page:?}");
        site.wait(1);
    }
    assert!(!browser.open("/account").await.answer.shows("allowed-app"), "nothing that taking it back would end");
}

#[tokio::test]
async fn whoever_signs_in_first_is_asked_then() {
    let site = Site::start().await;
    theirs(&site).await;
    let mut browser = Browser::new(&site);
    let sign_in = browser.open(&authorize_url(&[])).await;
    let page = browser.sign_in(sign_in.url.as_str(), "ana", PASSWORD).await;
    assert!(page.url.path() == "/oauth/continue" && page.answer.shows("allow"), "{page:?}");
    let there = decide(&mut browser, &page, "allow").await;
    assert!(said(browser.step(&there).await.location(), "code").is_some());
}

/// Each of these is somebody who wants Ana to have allowed what she has not.
#[tokio::test]
async fn nobody_allows_in_somebody_elses_name() {
    let site = Site::start().await;
    theirs(&site).await;
    let ben = site.user("ben").await;
    let mut browser = at_home(&site).await;
    let cookie = browser.cookie(HOME, SESSION).expect("signed in");
    let small = asked(&mut browser, &[("scope", Some("openid"))]).await;
    let large = asked(&mut browser, &[]).await;
    let path = |page: &Landing| {
        let action = page.action();
        action[url::Position::BeforePath..].to_owned()
    };
    let (token, action) = (small.answer.csrf_token().to_owned(), path(&small));
    let form = |action: &str, token: &str| {
        Ask::post(action).cookie(SESSION, &cookie).form(&[("csrf_token", token), ("decision", "allow")])
    };

    let query = action.split_once('?').expect("a query").1;
    let by_get = format!("/oauth/consent?{query}&decision=allow&csrf_token={token}");
    assert_eq!(site.send(Ask::get(by_get).cookie(SESSION, &cookie)).await.status, 405);
    for site_of in ["cross-site", "same-site", "none"] {
        let foreign = form(&action, &token).header("sec-fetch-site", site_of).header("origin", "https://evil.com");
        assert_eq!(site.send(foreign).await.status, 403, "{site_of}");
    }
    assert_eq!(site.send(form(&action, &token)).await.status, 403, "from nowhere");

    let ours = async |action: &str, token: &str| site.send(form(action, token).same_origin()).await.status;
    assert_eq!(ours(&path(&large), &token).await, 403, "another request than the one that was shown");
    assert_eq!(ours(&action, large.answer.csrf_token()).await, 403);
    let account = browser.open("/account").await;
    assert_eq!(ours(&action, account.answer.csrf_token()).await, 403, "the token of another form of this session");
    let mut bens = Browser::new(&site);
    bens.sign_in("/sign-in?app=wiki", "ben", PASSWORD).await;
    let shown_to_ben = asked(&mut bens, &[("scope", Some("openid"))]).await;
    assert_eq!(ours(&path(&shown_to_ben), shown_to_ben.answer.csrf_token()).await, 403, "what somebody else was shown");
    assert_eq!(ours(&action, shown_to_ben.answer.csrf_token()).await, 403);
    let choice = browser.open(&authorize_url(&[("prompt", Some("select_account"))])).await;
    assert_eq!(
        ours(&path(&choice).replace("/account", "/consent"), choice.answer.csrf_token()).await,
        403,
        "another question"
    );
    assert_eq!(ours(&action.replace("app=crm", "app=wiki"), &token).await, 400);
    assert_eq!(ours("/oauth/consent", &token).await, 400);

    for wrong in [&[("csrf_token", &*token)][..], &[("csrf_token", &token), ("decision", "maybe")]] {
        let ask = Ask::post(&*action).same_origin().cookie(SESSION, &cookie).form(wrong);
        assert_eq!(site.send(ask).await.status, 400, "{wrong:?}");
    }
    assert_eq!((remembered(&site, &site.ana).await, remembered(&site, &ben).await), (None, None));

    site.wait(1799);
    assert_eq!(ours(&action, &token).await, 200, "and this is how it would have worked");
    site.wait(1);
    assert_eq!(ours(&action, &token).await, 400, "but not for ever");
}

#[tokio::test]
async fn a_page_that_is_still_open_after_a_sign_out_allows_nothing() {
    let site = Site::start().await;
    theirs(&site).await;
    let ben = site.user("ben").await;
    let mut browser = at_home(&site).await;
    let page = asked(&mut browser, &[]).await;
    let sign_out = browser.open("/sign-out").await;
    browser.submit(&sign_out.action(), &[("csrf_token", sign_out.answer.csrf_token())]).await;
    let fields = [("csrf_token", page.answer.csrf_token()), ("decision", "allow")];
    let landing = browser.submit(&page.action(), &fields).await;
    assert_eq!(landing.url.path(), "/sign-in", "{landing:?}");
    browser.sign_in("/sign-in?app=wiki", "ben", PASSWORD).await;
    assert_eq!(browser.submit(&page.action(), &fields).await.answer.status, 403, "nor for whoever is here now");
    assert_eq!((remembered(&site, &site.ana).await, remembered(&site, &ben).await), (None, None));
}

/// T52, T84, T85: neither in a frame, nor with words that the page is made to say.
#[tokio::test]
async fn the_page_says_what_is_true_and_cannot_be_framed() {
    let site = Site::start().await;
    let name = "<script>\"'&</strong>Hallpass";
    client_with(&site, "crm", |app| (app.third_party, app.name) = (true, name.to_owned())).await;
    let mut browser = at_home(&site).await;
    let hostile = [("scope", Some("openid \"><script>x admin")), ("login_hint", Some("<script>x"))];
    let page = asked(&mut browser, &hostile).await;
    assert!(!page.answer.body.contains("<script") && !page.answer.body.contains("admin"), "{page:?}");
    assert!(page.answer.body.contains("&#60;script&#62;&#34;&#39;&#38;&#60;/strong&#62;Hallpass"));
    let policy = page.answer.header("content-security-policy").expect("a policy");
    assert!(policy.contains("frame-ancestors 'none'") && policy.ends_with("form-action 'self'"), "{policy}");
    assert_eq!(page.answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(page.answer.header("cache-control"), Some("no-store"));
    let path = authorize_url(&[]);
    let framed = Ask::get(path.strip_prefix(HOME).expect("at home")).header("sec-fetch-dest", "iframe");
    assert_eq!(site.send(framed.header("cookie", browser.carried(HOME))).await.status, 403);
}

/// T20: "at once" is before the answer to the click.
#[tokio::test]
async fn what_is_taken_back_ends_the_apps_tokens_and_nobody_elses() {
    let site = Site::start().await;
    let crm = theirs(&site).await;
    let other = client(&site, "other").await;
    site.user("ben").await;
    let mut browser = at_home(&site).await;
    let code = allow(&mut browser, &[]).await;
    let tokens = Tokens::of(&redeem(&site, &crm, &code, &[]).await);
    let unused = self::code(&mut browser, &[]).await;
    let others = self::code(&mut browser, &[("client_id", Some("other"))]).await;
    let others = Tokens::of(&redeem(&site, &other, &others, &[]).await);
    let mut bens = Browser::new(&site);
    bens.sign_in("/sign-in?app=wiki", "ben", PASSWORD).await;
    let bens_code = allow(&mut bens, &[]).await;
    let bens = Tokens::of(&redeem(&site, &crm, &bens_code, &[]).await);
    assert_eq!(userinfo(&site, &tokens.access).await.status, 200);

    let landing = take_back(&mut browser).await;
    assert!(landing.url.as_str().ends_with("/account?done=app") && !landing.answer.shows("allowed-app"), "{landing:?}");
    assert_dead(&site, &crm, &tokens).await;
    assert_eq!(
        error(&redeem(&site, &crm, &unused, &[]).await),
        (400, "invalid_grant".to_owned()),
        "nor a code from before"
    );
    assert_eq!(reasons(&site, "tokens_refused").await, ["no_consent", "revoked"]);
    assert_eq!(reasons(&site, "consent_revoked").await.len(), 1);
    for (access, whose) in [(&others.access, "another app's"), (&bens.access, "another person's")] {
        assert_eq!(userinfo(&site, access).await.status, 200, "{whose}");
    }
    assert_eq!(outcome(&mut browser, &[]).await, "asked");
}

/// T41, T51.
#[tokio::test]
async fn nobody_takes_back_what_is_not_theirs() {
    let site = Site::start().await;
    theirs(&site).await;
    let ben = site.user("ben").await;
    let mut browser = at_home(&site).await;
    allow(&mut browser, &[]).await;
    let bens = site.signed_in(&ben).await;
    let page = site.send(Ask::get("/account").cookie(SESSION, &bens.cookie)).await;
    let token = page.csrf_token();
    let ask = |app: &str, token: &str| {
        let fields = [("csrf_token", token), ("app_key", app)];
        Ask::post("/account/apps/revoke").cookie(SESSION, &bens.cookie).form(&fields)
    };
    assert!(!page.shows("allowed-app"), "nor sees it");
    for (app, token, expected) in [("crm", token, 404), ("nobody", token, 404), ("crm", "x", 403), ("CRM", token, 400)]
    {
        assert_eq!(site.send(ask(app, token).same_origin()).await.status, expected, "{app} {token}");
    }
    let own = browser.cookie(HOME, SESSION).expect("signed in");
    let page = site.send(Ask::get("/account").cookie(SESSION, &own)).await;
    let fields = [("csrf_token", page.csrf_token()), ("app_key", "crm")];
    let foreign = Ask::post("/account/apps/revoke").cookie(SESSION, &own).form(&fields);
    assert_eq!(site.send(foreign.header("sec-fetch-site", "cross-site")).await.status, 403);
    assert!(remembered(&site, &site.ana).await.is_some());
}

/// T20: each refresh asks again, whatever has changed.
#[tokio::test]
async fn an_app_that_turns_out_to_be_somebody_elses_needs_leave() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (mut browser, tokens) = tokens(&site, &crm).await;
    let crm = theirs(&site).await;
    site.heard().await;
    assert_eq!(error(&refresh(&site, &crm, &tokens.refresh).await), (400, "invalid_grant".to_owned()));
    assert_eq!(reasons(&site, "tokens_refused").await, ["no_consent"]);
    allow(&mut browser, &[]).await;
    assert_eq!(refresh(&site, &crm, &tokens.refresh).await.status, 200, "it was not used up");
}

/// What goes on without the person has to be said, and is asked for again by whoever was allowed less.
#[tokio::test]
async fn offline_access_is_part_of_the_question_where_the_app_may_have_it() {
    let site = Site::start().await;
    let change = |app: &mut App| (app.third_party, app.client.offline_access) = (true, true);
    client_with(&site, "crm", change).await;
    client_with(&site, "news", |app| app.third_party = true).await;
    let mut browser = at_home(&site).await;
    let (offline, away) = ([("scope", Some("openid offline_access"))], "while you are away");
    allow(&mut browser, &[("scope", Some("openid"))]).await;
    let page = asked(&mut browser, &offline).await;
    assert!(page.answer.body.contains(away), "{page:?}");
    decide(&mut browser, &page, "allow").await;
    assert_eq!(outcome(&mut browser, &offline).await, "code", "asked once");
    assert!(remembered(&site, &site.ana).await.is_some_and(|scope| scope.contains("offline_access")));
    // An app that may not have it is not asked about for it, and no second time either.
    let news = [offline[0], ("client_id", Some("news"))];
    let page = asked(&mut browser, &news).await;
    assert!(!page.answer.body.contains(away), "{page:?}");
    decide(&mut browser, &page, "allow").await;
    assert_eq!(outcome(&mut browser, &news).await, "code");
}
