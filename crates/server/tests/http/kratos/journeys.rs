//! Signed in there, known here; ended there, ended here.

use std::sync::Arc;

use hallpass_core::session::{Acr, Amr};
use hallpass_server::upstream::recheck::recheck;
use hallpass_store::{upstreams, users};
use serde_json::json;

use super::*;
use crate::support::{Ask, PASS, PASSWORD, postgres};

#[tokio::test]
async fn who_signs_in_there_is_known_here_and_at_the_app() {
    let (site, kratos) = company(|_| ()).await;
    let mia = mia(&kratos);
    let mut browser = Browser::new(&site);
    let page = browser.open("/sign-in?app=wiki&return_to=https%3A%2F%2Fwiki.company.com%2Fa%3Fb").await;
    assert!(page.answer.shows("upstream") && page.answer.body.contains("Company account"), "{page:?}");
    assert!(page.answer.body.contains("name=\"password\""), "and the form is there as before");
    let start = format!("{START}?app=wiki&return_to=https%3A%2F%2Fwiki.company.com%2Fa%3Fb");
    assert!(page.answer.body.contains(&start.replace('&', "&#38;")), "{page:?}");
    let (url, _) = open(&mut browser, &kratos, &mia, &start).await;
    assert_eq!(url.as_str(), "https://wiki.company.com/a?b");
    let pass = browser.cookie("https://wiki.company.com/", PASS).expect("a pass");
    let said = site.introspect(&site.wiki, &pass).await;
    assert_eq!(
        (&said["username"], &said["acr"], &said["amr"]),
        (&json!("mia@company.com"), &json!("aal1"), &json!(["pwd"]))
    );
    assert!(!site.is_active(&site.pos, &pass).await, "a new user may enter what everybody may, and nothing else");
    let session = session_of(&site, &browser).await.expect("a session");
    let mut read = site.store().read().await.expect("reads");
    let user = users::find(&mut read, &session.user_id).await.expect("reads").expect("made at first sight");
    assert_eq!((user.display_name.as_str(), user.email.as_deref()), ("Mia Berg", Some("mia@company.com")));
    assert!(!browser.carried(HOME).contains("hallpass-up-"), "the transaction is over");
    assert_eq!(reasons(&site, "user_added").await.len(), 1);
    assert_eq!(reasons(&site, "upstream_linked").await.len(), 1);
}

/// Signed in there already, somebody comes through without any form. Also in many tabs at once.
#[tokio::test]
async fn who_is_signed_in_there_passes_without_a_form() {
    let (site, kratos) = company(|_| ()).await;
    let mia = mia(&kratos);
    let there = kratos.session(&mia);
    let mut browser = Browser::new(&site);
    browser.toss(LOGIN, &format!("{}={}; Domain=company.com; Path=/", fake::COOKIE, there.cookie));
    let mut ways = Vec::new();
    for _ in 0..3 {
        ways.push(browser.open(&format!("{START}?app=wiki")).await.url);
    }
    let mut sessions = Vec::new();
    for way in &ways {
        let back = at_kratos(&mut browser, &kratos, &mia, way).await;
        assert_eq!(browser.open(&back).await.url.as_str(), "https://wiki.company.com/");
        sessions.push(session_of(&site, &browser).await.expect("a session").id);
    }
    assert!(sessions.windows(2).all(|pair| pair[0] == pair[1]), "one session, whichever tab came first");
    assert_eq!(kratos.sessions().len(), 1);
}

#[tokio::test]
async fn who_comes_again_is_the_same_person_with_what_is_known_now() {
    let (site, kratos) = company(|_| ()).await;
    let mia = mia(&kratos);
    let first = session_of(&site, &signed_in(&site, &kratos, &mia).await).await.expect("a session");
    kratos.change_identity(&mia.id, |mia| {
        mia.traits = json!({ "email": "mia.lund@company.com", "name": { "first": "Mia", "last": "Lund" } });
    });
    let mia = Identity { traits: json!({ "email": "mia.lund@company.com" }), ..mia };
    let again = session_of(&site, &signed_in(&site, &kratos, &mia).await).await.expect("a session");
    assert_eq!(first.user_id, again.user_id);
    assert_ne!(first.id, again.id);
    assert_eq!(end_of(&site, &first.id).await, None, "another browser is another session");
    let user = users::find(&mut site.store().read().await.expect("reads"), &first.user_id).await.expect("reads");
    let user = user.expect("there");
    assert_eq!((user.display_name.as_str(), user.email.as_deref()), ("Mia Lund", Some("mia.lund@company.com")));
    assert_eq!(user.username.as_str(), "mia@company.com", "what roles are given to stays");
}

#[tokio::test]
async fn a_second_factor_is_asked_for_where_it_is_required() {
    let (site, kratos) = company(|config| config.minimum_aal = Acr::Aal2).await;
    let mia = mia(&kratos);
    let mut browser = Browser::new(&site);
    let way = browser.open(START).await.url;
    assert!(!way.query().expect("a query").contains("aal="), "Kratos takes that from somebody who is signed in only");
    let back = at_kratos(&mut browser, &kratos, &mia, &way).await;
    let step = browser.open(&back).await.url;
    assert!(step.query().expect("a query").contains("aal=aal2"), "{step}");
    let back = at_kratos(&mut browser, &kratos, &mia, &step).await;
    assert_eq!(browser.open(&back).await.url.path(), "/");
    let session = session_of(&site, &browser).await.expect("a session");
    assert_eq!((session.acr, session.amr), (Acr::Aal2, vec![Amr::Pwd, Amr::Otp]));
    // Kratos may insist by itself.
    let (site, kratos) = company(|_| ()).await;
    let ben = kratos.identity(json!({ "email": "ben@company.com" }), |ben| ben.second_factor = true);
    let session = session_of(&site, &signed_in(&site, &kratos, &ben).await).await.expect("a session");
    assert_eq!(session.acr, Acr::Aal2);
}

#[tokio::test]
async fn whoever_is_asked_to_sign_in_anew_has_to() {
    let (site, kratos) = company(|_| ()).await;
    let mia = mia(&kratos);
    let mut browser = signed_in(&site, &kratos, &mia).await;
    let before = session_of(&site, &browser).await.expect("a session");
    site.wait(600);
    let way = browser.open(&format!("{START}?again=1")).await.url;
    assert!(way.query().expect("a query").contains("refresh=true"), "{way}");
    // Straight back, without having signed in.
    let state = way.query_pairs().find(|(name, _)| name == "return_to").expect("the way back").1.into_owned();
    assert_eq!(browser.open(&state).await.answer.status, 403);
    assert_eq!(reasons(&site, "sign_in_refused").await, ["upstream_not_authenticated_anew"]);
    let (url, _) = open(&mut browser, &kratos, &mia, &format!("{START}?again=1")).await;
    assert_eq!(url.path(), "/");
    let after = session_of(&site, &browser).await.expect("a session");
    assert_eq!(after.authenticated_at, site.now());
    assert_ne!(after.id, before.id);
    assert_eq!(end_of(&site, &before.id).await, Some("replaced"));
}

/// Two nodes, many tabs, somebody who has never been here: one user. And what has to be looked at is looked at by one node.
#[tokio::test]
async fn of_many_first_sign_ins_at_once_there_is_one_user() {
    let kratos = Fake::start("127.0.0.1:0", "127.0.0.1:0", "company.com", HOME).await;
    let (url, name) = postgres::create().await;
    let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
    let settings = || {
        let mut settings = KratosConfig::at(kratos.public_url.parse().expect("an address"));
        settings.browser_url = Some(LOGIN.parse().expect("an address"));
        Some(settings)
    };
    let one = Site::node_with(&url, &directory, None, |config| config.kratos = settings()).await;
    let two = Site::node_with(&url, &directory, Some(&one), |config| config.kratos = settings()).await;
    let context = one.engine.context.clone();
    kratos.keep_time(move || context.now().as_millis());
    let mia = mia(&kratos);
    let mut backs = Vec::new();
    for number in 0..12 {
        let mut browser = Browser::new(if number % 2 == 0 { &one } else { &two });
        let way = browser.open(START).await.url;
        let back = at_kratos(&mut browser, &kratos, &mia, &way).await;
        backs.push((browser, back));
    }
    let arriving = backs.iter_mut().map(async |(browser, back)| browser.step(back).await);
    let mut arriving: Vec<_> = arriving.map(Box::pin).collect();
    let mut arrived = Vec::new();
    std::future::poll_fn(|context| {
        // All of them, a step at a time, until each has come to its end.
        arriving.retain_mut(|arriving| match arriving.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => {
                arrived.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if arriving.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    drop(arriving);
    assert!(arrived.iter().all(|answer| answer.status == 303 && answer.set_cookie(SESSION).is_some()), "{arrived:?}");
    assert_eq!(reasons(&one, "user_added").await.len(), 1);
    let mut people = Vec::new();
    for (browser, _) in &backs {
        people.push(session_of(&one, browser).await.expect("a session").user_id);
    }
    assert!(people.windows(2).all(|pair| pair[0] == pair[1]));
    kratos.heard();
    one.wait(300);
    let (first, second) = tokio::join!(recheck(one.engine.context.clone()), recheck(two.engine.context.clone()));
    first.and(second).expect("looks");
    for (browser, _) in &backs {
        let id = session_of(&one, browser).await.expect("a session").id;
        until("looked at", async || {
            let footing = upstreams::footing(&mut one.store().read().await.expect("reads"), &id).await;
            footing.expect("reads").expect("there").checked_at == one.now()
        })
        .await;
    }
    assert_eq!(kratos.heard().len(), 12, "each once");
    drop(backs);
    for site in [one, two] {
        site.engine.stop().await;
    }
    postgres::drop(&name).await;
}

/// How old the sign-in is there is how old it is here.
#[tokio::test]
async fn the_time_of_the_sign_in_is_the_one_there() {
    let (site, kratos) = company(|_| ()).await;
    let mia = mia(&kratos);
    let there = kratos.session(&mia);
    site.wait(3600);
    let mut browser = Browser::new(&site);
    browser.toss(LOGIN, &format!("{}={}; Domain=company.com; Path=/", fake::COOKIE, there.cookie));
    open(&mut browser, &kratos, &mia, START).await;
    let session = session_of(&site, &browser).await.expect("a session");
    assert_eq!(session.authenticated_at.as_millis(), there.authenticated_at);
    assert_eq!(session.created_at, site.now());
}

#[tokio::test]
async fn a_session_that_ends_there_ends_here() {
    type End = fn(&Fake, &Identity, &str);
    let ends: [(&str, End); 4] = [
        ("upstream_not_signed_in", |kratos, _, id| kratos.change_session(id, |session| session.active = false)),
        ("upstream_identity_inactive", |kratos, mia, _| kratos.change_identity(&mia.id, |mia| mia.active = false)),
        ("upstream_other_identity", |kratos, _, id| {
            let other = kratos.identity(json!({ "email": "other@company.com" }), |_| ());
            kratos.change_session(id, |session| session.identity = other.id);
        }),
        ("upstream_assurance_too_low", |kratos, mia, _| {
            kratos.change_identity(&mia.id, |mia| mia.second_factor = true);
        }),
    ];
    for (found, end) in ends {
        let (site, kratos) = company(|_| ()).await;
        let mia = mia(&kratos);
        let mut browser = signed_in(&site, &kratos, &mia).await;
        browser.open("/continue?app=wiki").await;
        let pass = browser.cookie("https://wiki.company.com/", PASS).expect("a pass");
        let session = session_of(&site, &browser).await.expect("a session");
        end(&kratos, &mia, &kratos.sessions()[0].id);
        site.wait(299);
        assert!(site.is_active(&site.wiki, &pass).await, "nobody has looked yet");
        recheck(site.engine.context.clone()).await.expect("looks");
        assert_eq!(end_of(&site, &session.id).await, None);
        site.wait(1);
        recheck(site.engine.context.clone()).await.expect("looks");
        until(found, async || end_of(&site, &session.id).await == Some("upstream_ended")).await;
        assert!(!site.is_active(&site.wiki, &pass).await);
        let mut read = site.store().read().await.expect("reads");
        assert_eq!(upstreams::footing(&mut read, &session.id).await.expect("reads"), None, "no credential is kept");
        let filter = audit::Filter { event: Some("session_ended".to_owned()), ..audit::Filter::default() };
        let entries = audit::list(&mut read, &filter, None, 9).await.expect("reads");
        assert_eq!((entries.len(), &entries[0].details["found"]), (1, &json!(found)));
    }
}

/// Three root domains: home, one with an alias, one whose app is its own agent. One sign-in at Kratos, and one end of it there.
#[tokio::test]
async fn who_is_signed_in_there_is_known_on_three_roots_until_that_ends() {
    let (site, kratos) = company(|_| ()).await;
    let shop = crate::handoff::shop(&site).await;
    let till = crate::handoff::app_agent::till(&site, |_| ()).await;
    site.heard().await;
    let mia = mia(&kratos);
    let mut browser = signed_in(&site, &kratos, &mia).await;
    browser.open("/continue?app=wiki").await;
    let at_home = browser.cookie("https://wiki.company.com/", PASS).expect("a pass");
    assert_eq!(browser.open(crate::handoff::TO_SHOP).await.url.as_str(), crate::handoff::SHOP, "without a form");
    let at_shop = browser.cookie(crate::handoff::SHOP, PASS).expect("a pass");
    let at_till = crate::handoff::app_agent::fetched(&site, &mut browser, &till).await;
    let passes = [(&site.wiki, at_home), (&shop, at_shop), (&till, at_till)];
    for (app, pass) in &passes {
        assert_eq!(site.introspect(app, pass).await["username"], "mia@company.com", "{}", app.key);
    }
    kratos.change_session(&kratos.sessions()[0].id, |session| session.active = false);
    let session = session_of(&site, &browser).await.expect("a session");
    site.wait(300);
    recheck(site.engine.context.clone()).await.expect("looks");
    until("it ends here", async || end_of(&site, &session.id).await == Some("upstream_ended")).await;
    for (app, pass) in &passes {
        assert!(!site.is_active(app, pass).await, "{}", app.key);
    }
}

/// Before a browser gets a new pass, it is looked at, however recently the job was there.
#[tokio::test]
async fn a_session_that_has_ended_there_gets_no_new_pass() {
    for page in ["/continue?app=wiki", "/pass/refresh?app=wiki", "/handoff/authorize"] {
        let (site, kratos) = company(|_| ()).await;
        let mia = mia(&kratos);
        let mut browser = signed_in(&site, &kratos, &mia).await;
        let session = session_of(&site, &browser).await.expect("a session");
        kratos.heard();
        site.wait(29);
        browser.open(page).await;
        assert!(kratos.heard().is_empty(), "{page}: an answer is believed for half a minute");
        site.wait(2);
        browser.open(page).await;
        assert_eq!(kratos.heard().len(), 1, "{page}");
        kratos.change_session(&kratos.sessions()[0].id, |session| session.active = false);
        site.wait(31);
        let answer = browser.step(&format!("{HOME}{page}")).await;
        assert_eq!(end_of(&site, &session.id).await, Some("upstream_ended"), "{page}");
        assert!(answer.set_cookie(PASS).is_none(), "{page}: {answer:?}");
        if page.contains("app=wiki") {
            assert_eq!(answer.location(), "/sign-in?app=wiki", "{page}");
            assert_eq!(browser.cookie(HOME, SESSION), None, "{page}");
        }
    }
}

/// Sessions that nobody uses are left alone.
#[tokio::test]
async fn only_what_is_used_is_looked_at() {
    let (site, kratos) = company(|_| ()).await;
    let browser = signed_in(&site, &kratos, &mia(&kratos)).await;
    let session = session_of(&site, &browser).await.expect("a session");
    let looked = async || {
        recheck(site.engine.context.clone()).await.expect("looks");
        let footing = upstreams::footing(&mut site.store().read().await.expect("reads"), &session.id).await;
        footing.expect("reads").expect("there").checked_at == site.now()
    };
    // Activity is written down up to five minutes late, so she may have been there a moment ago.
    site.wait(300);
    until("the first look", looked).await;
    kratos.heard();
    site.wait(600);
    assert!(!looked().await, "nobody was there");
    assert!(kratos.heard().is_empty());
    let mut write = site.store().write().await.expect("writes");
    sessions::touch(&mut write, &[(session.id, site.now())]).await.expect("touches");
    write.commit().await.expect("commits");
    until("used again", looked).await;
}

#[tokio::test]
async fn users_of_our_own_sign_in_as_before() {
    let (site, kratos) = company(|_| ()).await;
    kratos.break_public(fake::Fault::Silent);
    let mut browser = Browser::new(&site);
    assert_eq!(browser.sign_in("/sign-in", "ana", PASSWORD).await.url.path(), "/");
    site.wait(600);
    assert_eq!(browser.open("/continue").await.url.path(), "/");
    assert!(kratos.heard().is_empty());
}

#[tokio::test]
async fn the_sign_in_page_may_lead_straight_there_and_the_form_stays_within_reach() {
    let (site, kratos) = company(|config| config.primary = true).await;
    let mia = mia(&kratos);
    let mut browser = Browser::new(&site);
    let landing = browser.open("/").await;
    assert_eq!(landing.url.host_str(), Some("login.company.com"), "{landing:?}");
    let (url, _) = open(&mut browser, &kratos, &mia, "/").await;
    assert_eq!(url.as_str(), format!("{HOME}/"));
    // Somebody who is signed in and comes on purpose sees who is here.
    let page = browser.open("/sign-in").await;
    assert!(page.answer.shows("signed-in-as") && page.answer.shows("upstream"), "{page:?}");
    let mut administrator = Browser::new(&site);
    assert_eq!(administrator.sign_in("/sign-in?local=1", "ana", PASSWORD).await.url.path(), "/");
    let wrong = Browser::new(&site).sign_in("/sign-in?local=1", "ana", "wrong").await;
    assert_eq!(wrong.answer.status, 422, "shown again, not sent away");
}

#[tokio::test]
async fn where_none_is_configured_there_is_nothing() {
    let site = Site::start().await;
    for path in [START, "/upstream/kratos/callback?state=x"] {
        assert_eq!(site.send(Ask::get(path)).await.status, 404);
    }
    let page = site.send(Ask::get("/sign-in")).await;
    assert!(!page.shows("upstream"));
}

/// An upstream session proves who somebody is, not that they know the password here: nobody may give themselves one with it.
#[tokio::test]
async fn whoever_came_from_there_needs_the_password_here_to_replace_it() {
    let (site, kratos) = company(|_| ()).await;
    let mia = mia(&kratos);
    let mut browser = Browser::new(&site);
    open(&mut browser, &kratos, &mia, &format!("{START}?app=wiki")).await;
    let session = session_of(&site, &browser).await.expect("a session");
    let user = users::find(&mut site.store().read().await.expect("reads"), &session.user_id).await;
    site.must_change_password(&user.expect("reads").expect("there")).await;
    let page = browser.open("/account/password").await;
    assert!(page.answer.body.contains("name=\"current_password\""), "{page:?}");
    let token = page.answer.csrf_token().to_owned();
    let new = "nine purple kettles at noon";
    let fields = [("csrf_token", &*token), ("new_password", new), ("new_password_again", new)];
    assert_eq!(browser.submit(&page.action(), &fields).await.answer.status, 422);
    let mut other = Browser::new(&site);
    assert_eq!(other.sign_in("/sign-in", "mia@company.com", new).await.answer.status, 422, "it is not the password");
}
