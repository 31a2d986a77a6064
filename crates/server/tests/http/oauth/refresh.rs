//! `POST /oauth/token` for refresh tokens: one winner, ten seconds of patience, and the end of the family for whoever comes with an old one.
//! T14, T17–T20.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn a_refresh_token_brings_the_next_one() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (_, mut tokens) = tokens(&site, &crm).await;
    let first = opened(&tokens.id).1;
    for _ in 0..3 {
        site.wait(300);
        assert_eq!(userinfo(&site, &tokens.access).await.status, 401);
        let next = Tokens::of(&refresh(&site, &crm, &tokens.refresh).await);
        assert_ne!(next.refresh, tokens.refresh);
        assert_eq!(userinfo(&site, &next.access).await.status, 200);
        let claims = opened(&next.id).1;
        for same in ["iss", "sub", "aud", "auth_time", "sid"] {
            assert_eq!(claims[same], first[same], "{same}");
        }
        assert!(claims["nonce"].is_null() && claims["iat"] != first["iat"]);
        tokens = next;
    }
}

#[tokio::test]
async fn a_lost_answer_is_repeated_until_its_successor_is_used() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (_, tokens) = tokens(&site, &crm).await;
    let first = refresh(&site, &crm, &tokens.refresh).await;
    site.wait(9);
    let again = refresh(&site, &crm, &tokens.refresh).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    let next = Tokens::of(&refresh(&site, &crm, &Tokens::of(&again).refresh).await);
    assert_eq!(error(&refresh(&site, &crm, &tokens.refresh).await), (400, "invalid_grant".to_owned()));
    assert_dead(&site, &crm, &next).await;
    assert_eq!(reasons(&site, "tokens_refused").await, ["refresh_token_reused", "revoked"]);
    assert_eq!(reasons(&site, "tokens_revoked").await.len(), 1);
}

#[tokio::test]
async fn after_ten_seconds_an_old_token_ends_the_family() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (_, tokens) = tokens(&site, &crm).await;
    let next = Tokens::of(&refresh(&site, &crm, &tokens.refresh).await);
    site.wait(10);
    assert_eq!(error(&refresh(&site, &crm, &tokens.refresh).await), (400, "invalid_grant".to_owned()));
    assert_dead(&site, &crm, &next).await;
}

/// T18: many generations in one instant are told apart all the same.
#[tokio::test]
async fn generations_are_counted_not_timed() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (_, tokens) = tokens(&site, &crm).await;
    let mut all = vec![tokens.refresh];
    for number in 0..50 {
        all.push(Tokens::of(&refresh(&site, &crm, &all[number]).await).refresh);
    }
    assert_eq!(error(&refresh(&site, &crm, &all[48]).await), (400, "invalid_grant".to_owned()));
    assert_eq!(error(&refresh(&site, &crm, &all[50]).await), (400, "invalid_grant".to_owned()));
}

/// One attribute at a time; the session is kept awake, so that it is not what ends first.
#[tokio::test]
async fn whatever_does_not_fit_gets_no_tokens_and_the_owner_keeps_theirs() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let other = client(&site, "other").await;
    let (_, tokens) = tokens(&site, &crm).await;
    assert_eq!(error(&refresh(&site, &other, &tokens.refresh).await), (400, "invalid_grant".to_owned()));
    for wrong in ["", "hp_rt_x", &tokens.access, &tokens.refresh[1..], &tokens.refresh.replace("hp_rt_", "hp_ac_")] {
        assert_eq!(error(&refresh(&site, &crm, wrong).await), (400, "invalid_grant".to_owned()), "{wrong}");
    }
    let scoped = async |scope: &str| {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh), ("scope", scope)];
        site.send(Ask::post("/oauth/token").by(&crm).form(&fields)).await
    };
    assert_eq!(error(&scoped("profile").await), (400, "invalid_scope".to_owned()));
    let narrowed = scoped("openid").await;
    assert_eq!(narrowed.json()["scope"], "openid");
    let narrowed = Tokens::of(&narrowed);
    assert_eq!(userinfo(&site, &narrowed.access).await.json().as_object().expect("claims").len(), 1);
    // T25: what was not granted is not had by asking for it later.
    let code = code(&mut at_home(&site).await, &[("scope", Some("openid profile"))]).await;
    let little = Tokens::of(&redeem(&site, &crm, &code, &[]).await);
    let fields =
        [("grant_type", "refresh_token"), ("refresh_token", &*little.refresh), ("scope", "openid profile email")];
    let more = site.send(Ask::post("/oauth/token").by(&crm).form(&fields)).await;
    assert_eq!(error(&more), (400, "invalid_scope".to_owned()));
    assert_eq!(refresh(&site, &crm, &little.refresh).await.json()["scope"], "openid profile");
}

#[tokio::test]
async fn lifetimes_end_to_the_second() {
    // A day's session, and a family that may rest for a day: the session's hour of inactivity comes first unless it is long.
    for (wait, good) in [(24 * 3600 - 1, true), (24 * 3600, false)] {
        let site = Site::start_with(|config| {
            config.session.absolute = std::time::Duration::from_hours(30 * 24);
            config.session.inactivity = std::time::Duration::from_hours(30 * 24);
        })
        .await;
        let crm = client(&site, "crm").await;
        let (_, mut tokens) = tokens(&site, &crm).await;
        site.wait(wait);
        let answer = refresh(&site, &crm, &tokens.refresh).await;
        assert_eq!(answer.status == 200, good, "{wait}");
        if good {
            tokens = Tokens::of(&answer);
            for _ in 0..6 {
                site.wait(24 * 3600 - 1);
                let answer = refresh(&site, &crm, &tokens.refresh).await;
                assert!(answer.status == 200, "within a week: {answer:?}");
                tokens = Tokens::of(&answer);
            }
            site.wait(7);
            assert_eq!(error(&refresh(&site, &crm, &tokens.refresh).await), (400, "invalid_grant".to_owned()));
        }
        assert_eq!(reasons(&site, "tokens_refused").await, ["expired"]);
    }
}

/// T48: a sign-out, wherever it was asked for, ends every token.
#[tokio::test]
async fn a_sign_out_ends_the_tokens() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let (mut browser, tokens) = tokens(&site, &crm).await;
    assert_eq!(userinfo(&site, &tokens.access).await.status, 200);
    let page = browser.open("/sign-out").await;
    browser.submit(&page.action(), &[("csrf_token", page.answer.csrf_token())]).await;
    assert_dead(&site, &crm, &tokens).await;
}

/// T17: whoever asks at the same time hears the same.
#[tokio::test(flavor = "multi_thread")]
async fn sixteen_at_once_get_one_successor() {
    let site = Arc::new(Site::start().await);
    let crm = client(&site, "crm").await;
    let (_, tokens) = tokens(&site, &crm).await;
    let mut racers = JoinSet::new();
    for _ in 0..16 {
        let (site, crm, token) = (site.clone(), crm.clone(), tokens.refresh.clone());
        racers.spawn(async move { refresh(&site, &crm, &token).await });
    }
    let mut bodies: Vec<_> = racers.join_all().await.into_iter().map(|answer| (answer.status, answer.body)).collect();
    bodies.sort();
    bodies.dedup();
    assert!(bodies.len() == 1 && bodies[0].0 == 200, "{bodies:?}");
}

/// RFC 6749 §4.1.2: one gets tokens, the others show that there are two who know the code, and they are good no longer.
#[tokio::test(flavor = "multi_thread")]
async fn of_sixteen_with_one_code_one_gets_tokens_and_nobody_keeps_them() {
    let site = Arc::new(Site::start().await);
    let crm = client(&site, "crm").await;
    let code = code(&mut at_home(&site).await, &[]).await;
    let mut racers = JoinSet::new();
    for _ in 0..16 {
        let (site, crm, code) = (site.clone(), crm.clone(), code.clone());
        racers.spawn(async move { redeem(&site, &crm, &code, &[]).await });
    }
    let answers = racers.join_all().await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    assert_dead(&site, &crm, &Tokens::of(won[0])).await;
}
