//! Who somebody is here who has signed in elsewhere: T50, T53, T54, T56, T58. Groups.

use hallpass_core::id::GroupId;
use hallpass_core::session::{Acr, Amr};
use hallpass_core::upstream::oidc::SecondFactor;
use hallpass_server::config::Required;
use hallpass_store::groups::{self, Group};
use hallpass_store::verified_emails;
use serde_json::json;

use super::*;
use crate::support::NOW;

/// Another browser, another network: refusals from one address are written down so often only.
fn somebody(site: &Site, number: usize) -> Browser<'_> {
    Browser::new(site).moved_to(&format!("192.0.2.{}", number + 10))
}

/// Somebody here whose address an administrator has shown to be theirs.
async fn verified(site: &Site, name: &str, email: &str) -> User {
    let user = site.user_with(name, |user| user.email = Some(email.to_owned())).await;
    let mut write = site.store().write().await.expect("writes");
    let address = email.parse().expect("an address");
    verified_emails::record(&mut write, &user.id, email, &address, "cli", site.now()).await.expect("writes");
    write.commit().await.expect("commits");
    user
}

#[tokio::test]
async fn an_identity_is_issuer_and_subject_and_never_a_name_or_an_address() {
    let (site, fake) = with_fake(|config| config.trust_email = true).await;
    let mut first = Browser::new(&site);
    trip(&mut first, &fake, |_| ()).await;
    let mia = person_of(&site, &first).await.expect("signed in");
    // The same subject with another name and another address is the same person.
    let mut again = Browser::new(&site);
    trip(&mut again, &fake, |claims| {
        (claims["preferred_username"], claims["email"]) = (json!("ana"), json!("mia.lund@company.com"));
        claims["name"] = json!("Mia Lund");
    })
    .await;
    let same = person_of(&site, &again).await.expect("signed in");
    assert_eq!((same.id, same.username.as_str()), (mia.id, "mia"), "what roles are given to stays");
    assert_eq!((same.display_name.as_str(), same.email.as_deref()), ("Mia Lund", Some("mia.lund@company.com")));
    // Another subject with the same name and the same verified address is not.
    let mut other = Browser::new(&site);
    let landing = trip(&mut other, &fake, claim("sub", json!("somebody-else"))).await;
    assert_refused(&site, &other, &landing, "upstream_username_taken").await;
    // Nor is one of ours who was there before, in whatever case or width.
    for (number, name) in ["ana", "ANA", "\u{ff41}na"].into_iter().enumerate() {
        let mut other = somebody(&site, number);
        let landing = trip(&mut other, &fake, |claims| {
            (claims["sub"], claims["preferred_username"]) = (json!("ana-there"), json!(name));
        })
        .await;
        assert_refused(&site, &other, &landing, "upstream_username_taken").await;
    }
    assert_eq!(reasons(&site, "upstream_linked").await.len(), 1);
}

/// The same subject at another issuer is another person, also under a name that the configuration used before.
#[tokio::test]
async fn subjects_of_two_issuers_are_two_people() {
    let (one, two) = (Fake::start().await, Fake::start().await);
    let site = company(vec![provider("fake", &one.issuer, |_| ()), provider("other", &two.issuer, |_| ())]).await;
    let mut browser = Browser::new(&site);
    trip(&mut browser, &one, |_| ()).await;
    let mia = person_of(&site, &browser).await.expect("signed in");
    let mut other = Browser::new(&site);
    let left = leave(&mut other, "other", "").await;
    two.gives(&two.claims(&left.nonce));
    let landing = other.open(&callback("other", "c", &left.state)).await;
    assert_refused(&site, &other, &landing, "upstream_username_taken").await;
    let left = leave(&mut other, "other", "").await;
    let mut claims = two.claims(&left.nonce);
    claims["preferred_username"] = json!("mia-2");
    two.gives(&claims);
    other.open(&callback("other", "d", &left.state)).await;
    assert_ne!(person_of(&site, &other).await.expect("signed in").id, mia.id);
}

#[tokio::test]
async fn nobody_is_made_where_that_is_not_wanted() {
    let (site, fake) = with_fake(|config| config.create_users = false).await;
    let mut browser = Browser::new(&site);
    let landing = trip(&mut browser, &fake, |_| ()).await;
    assert_refused(&site, &browser, &landing, "upstream_no_user").await;
    let (site, fake) = with_fake(|config| {
        config.require.insert("hd".to_owned(), Required::Text("company.com".to_owned()));
        config.require.insert("email_verified".to_owned(), Required::Flag(true));
    })
    .await;
    for (number, change) in [
        (|_: &mut Value| ()) as fn(&mut Value),
        |claims| claims["hd"] = json!("evil.company.com"),
        |claims| claims["hd"] = json!({ "company.com": true }),
        |claims| (claims["hd"], claims["email_verified"]) = (json!("company.com"), json!("true")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut browser = somebody(&site, number);
        let landing = trip(&mut browser, &fake, change).await;
        assert_refused(&site, &browser, &landing, "upstream_claim_not_as_required").await;
    }
    for hd in [json!("company.com"), json!(["other.com", "company.com"])] {
        let mut browser = Browser::new(&site);
        trip(&mut browser, &fake, claim("hd", hd)).await;
        assert!(person_of(&site, &browser).await.is_some());
    }
}

/// Protocol §10: only where the provider gives the people of the domain their addresses, says that this one is verified, and it is verified here.
#[tokio::test]
async fn an_address_links_only_where_both_sides_have_shown_that_it_is_theirs() {
    let company_com = |config: &mut OidcConfig| config.authoritative_for = vec!["company.com".to_owned()];
    let (site, fake) = with_fake(company_com).await;
    let mia = verified(&site, "mia.here", "Mia@Company.com").await;
    let mut browser = Browser::new(&site);
    assert_eq!(trip(&mut browser, &fake, |_| ()).await.url.path(), "/");
    let found = person_of(&site, &browser).await.expect("signed in");
    assert_eq!((found.id, found.username.as_str()), (mia.id, "mia.here"));
    assert_eq!(found.display_name, mia.display_name, "what was here before stays as it was");
    assert_eq!(reasons(&site, "user_added").await.len(), 0);
    // Once linked it is the subject that counts, whatever becomes of the address.
    let mut again = Browser::new(&site);
    trip(&mut again, &fake, claim("email", json!("other@company.com"))).await;
    assert_eq!(person_of(&site, &again).await.expect("signed in").id, mia.id);
    // Somebody else there with that address now: mia has an identity there already.
    let mut other = Browser::new(&site);
    let landing = trip(&mut other, &fake, claim("sub", json!("somebody-else"))).await;
    assert_refused(&site, &other, &landing, "upstream_identity_taken").await;
}

#[tokio::test]
async fn an_address_that_one_side_has_not_shown_links_nobody() {
    type Configure = fn(&mut OidcConfig);
    let authoritative: Configure = |config| config.authoritative_for = vec!["company.com".to_owned()];
    let trusted: Configure = |config| config.trust_email = true;
    let elsewhere: Configure =
        |config| config.authoritative_for = vec!["mail.company.com".to_owned(), "company2.com".to_owned()];
    let table: [(Configure, &str, &str, Value); 10] = [
        // T56
        (authoritative, "mia@company.com", "mia@company.com", json!("true")),
        (authoritative, "mia@company.com", "mia@company.com", json!(1)),
        (authoritative, "mia@company.com", "mia@company.com", json!(null)),
        (authoritative, "mia@company.com", "mia@company.com", json!(false)),
        // Verified, but not by whoever gives these people their addresses.
        (trusted, "mia@company.com", "mia@company.com", json!(true)),
        (elsewhere, "mia@company.com", "mia@company.com", json!(true)),
        (authoritative, "mia@company.com.evil.com", "mia@company.com", json!(true)),
        // T57
        (authoritative, "mia@evil.com@company.com", "mia@company.com", json!(true)),
        (authoritative, "mia\u{ff20}company.com", "mia@company.com", json!(true)),
        (authoritative, "mia+x@company.com", "mia@company.com", json!(true)),
    ];
    for (configure, said, here, verified_there) in table {
        let (site, fake) = with_fake(configure).await;
        let mia = verified(&site, "mia.here", here).await;
        let mut browser = Browser::new(&site);
        trip(&mut browser, &fake, |claims| {
            (claims["email"], claims["email_verified"]) = (json!(said), verified_there.clone());
        })
        .await;
        let found = person_of(&site, &browser).await.expect("somebody new");
        assert_ne!(found.id, mia.id, "{said} {verified_there}");
    }
    // T53: an address that somebody has only typed in here is nobody's.
    let (site, fake) = with_fake(authoritative).await;
    let squatter = site.user_with("squatter", |user| user.email = Some("mia@company.com".to_owned())).await;
    let mut browser = Browser::new(&site);
    trip(&mut browser, &fake, |_| ()).await;
    assert_ne!(person_of(&site, &browser).await.expect("somebody new").id, squatter.id);
    // Nor is one that two have shown.
    let (site, fake) = with_fake(authoritative).await;
    let two = [verified(&site, "one", "mia@company.com").await, verified(&site, "two", "mia@company.com").await];
    let mut browser = Browser::new(&site);
    trip(&mut browser, &fake, |_| ()).await;
    let found = person_of(&site, &browser).await.expect("somebody new");
    assert!(two.iter().all(|user| user.id != found.id));
}

/// T53: whoever had an address once, elsewhere, does not get the one who has it now, nor the other way round.
#[tokio::test]
async fn an_address_that_was_shown_elsewhere_opens_no_user_to_its_present_owner() {
    for (first_is_authoritative, same) in [(false, false), (true, true)] {
        let (first, second) = (Fake::start().await, Fake::start().await);
        let company_com = vec!["company.com".to_owned()];
        let one = provider("fake", &first.issuer, |config| {
            config.trust_email = true;
            if first_is_authoritative {
                config.authoritative_for = company_com.clone();
            }
        });
        let two = provider("other", &second.issuer, |config| config.authoritative_for = company_com.clone());
        let site = company(vec![one, two]).await;
        let mut before = Browser::new(&site);
        trip(&mut before, &first, |_| ()).await;
        let before = person_of(&site, &before).await.expect("signed in");
        let mut now = Browser::new(&site);
        let left = leave(&mut now, "other", "").await;
        let mut claims = second.claims(&left.nonce);
        claims["preferred_username"] = json!("mia.lund");
        second.gives(&claims);
        now.open(&callback("other", "c", &left.state)).await;
        let now = person_of(&site, &now).await.expect("signed in");
        assert_eq!(now.id == before.id, same);
    }
}

/// T50: whoever is switched off here is not switched on, nor tied to anything, by signing in elsewhere.
#[tokio::test]
async fn who_is_disabled_here_is_linked_to_nothing() {
    let (site, fake) = with_fake(|config| config.authoritative_for = vec!["company.com".to_owned()]).await;
    let mia = verified(&site, "mia.here", "mia@company.com").await;
    site.disable(&mia).await;
    let mut browser = Browser::new(&site);
    let landing = trip(&mut browser, &fake, |_| ()).await;
    assert_refused(&site, &browser, &landing, "user_disabled").await;
    assert!(reasons(&site, "upstream_linked").await.is_empty());
    let user = users::find(&mut site.store().read().await.expect("reads"), &mia.id).await.expect("reads");
    assert!(user.expect("there").disabled_at.is_some());
}

/// T58: an address as a user name would be taken for its owner.
#[tokio::test]
async fn a_name_that_is_an_address_must_be_theirs() {
    type Configure = fn(&mut OidcConfig);
    let nothing: Configure = |_| ();
    let trusted: Configure = |config| config.trust_email = true;
    let authoritative: Configure = |config| config.authoritative_for = vec!["company.com".to_owned()];
    for (configure, name, verified_there, allowed) in [
        (nothing, "mia@company.com", true, false),
        (trusted, "mia@company.com", true, true),
        (trusted, "mia@company.com", false, false),
        (trusted, "boss@company.com", true, false),
        (trusted, "mia\u{ff20}company.com", true, true),
        (trusted, "boss\u{ff20}company.com", true, false),
        (authoritative, "boss@company.com", false, true),
        (authoritative, "boss@company2.com", true, false),
        (authoritative, "@", true, false),
    ] {
        let (site, fake) = with_fake(configure).await;
        let mut browser = Browser::new(&site);
        let landing = trip(&mut browser, &fake, |claims| {
            (claims["preferred_username"], claims["email_verified"]) = (json!(name), json!(verified_there));
        })
        .await;
        if allowed {
            let name = name.replace('\u{ff20}', "@");
            assert_eq!(person_of(&site, &browser).await.expect("signed in").username.canonical(), name);
        } else {
            assert_refused(&site, &browser, &landing, "upstream_username_not_theirs").await;
        }
    }
    let (site, fake) = with_fake(nothing).await;
    let mut browser = Browser::new(&site);
    let landing = trip(&mut browser, &fake, |claims| {
        without("preferred_username")(claims);
        without("email")(claims);
    })
    .await;
    assert_refused(&site, &browser, &landing, "upstream_no_username").await;
}

async fn group(site: &Site, name: &str) -> GroupId {
    let group = Group {
        id: GroupId::mint(&mut hallpass_core::crypto::SystemRandom),
        name: name.parse().expect("a name"),
        created_at: site.now(),
    };
    let mut write = site.store().write().await.expect("writes");
    groups::add(&mut write, &group).await.expect("adds");
    write.commit().await.expect("commits");
    group.id
}

async fn groups_of(site: &Site, user: &User) -> Vec<String> {
    let found = groups::of_user(&mut site.store().read().await.expect("reads"), &user.id).await.expect("reads");
    found.into_iter().map(|group| group.name.to_string()).collect()
}

#[tokio::test]
async fn groups_that_belong_to_a_provider_are_what_it_says_at_each_sign_in() {
    let mapping = toml::from_str(
        "claim = \"realm_access.roles\"\nmap = { \"Sales/All\" = \"sales\", admin = \"admins\", root = \"admins\", x = \"missing\" }",
    );
    let mapping = mapping.expect("valid");
    let (site, fake) = with_fake(|config| config.groups = Some(mapping)).await;
    for name in ["sales", "admins"] {
        group(&site, name).await;
    }
    let own = group(&site, "own").await;
    let come = async |roles: Value| {
        let mut browser = Browser::new(&site);
        assert_eq!(trip(&mut browser, &fake, claim("realm_access", json!({ "roles": roles }))).await.url.path(), "/");
        let mia = person_of(&site, &browser).await.expect("signed in");
        (groups_of(&site, &mia).await, mia)
    };
    let (found, mia) = come(json!(["Sales/All", "root", "own", "missing", 7])).await;
    assert_eq!(
        found,
        ["admins", "sales"],
        "what it calls a group of ours by its name is not mapped, and means nothing"
    );
    let mut write = site.store().write().await.expect("writes");
    groups::add_member(&mut write, &own, &mia.id, site.now()).await.expect("adds");
    write.commit().await.expect("commits");
    assert_eq!(come(json!("admin")).await.0, ["admins", "own"]);
    assert_eq!(come(json!(["sales/all", "ADMIN"])).await.0, ["own"], "exactly, or not");
    assert_eq!(come(json!(null)).await.0, ["own"]);
    assert_eq!(
        (reasons(&site, "group_member_added").await.len(), reasons(&site, "group_member_removed").await.len()),
        (2, 2)
    );
}

#[tokio::test]
async fn how_strong_a_sign_in_was_the_operator_says() {
    let strong = SecondFactor { acr: Vec::new(), amr: vec!["mfa".to_owned()] };
    let (site, fake) = with_fake(|config| config.second_factor = strong).await;
    let acr = async |amr: Value| {
        let mut browser = Browser::new(&site);
        trip(&mut browser, &fake, |claims| {
            (claims["amr"], claims["acr"], claims["auth_time"]) = (amr, json!("aal2"), json!(NOW - 60));
        })
        .await;
        let session = session_of(&site, &browser).await.expect("a session");
        (session.acr, session.amr, site.now().since(session.authenticated_at).as_secs())
    };
    assert_eq!(acr(json!(["pwd", "mfa"])).await, (Acr::Aal2, vec![Amr::Pwd], 60));
    assert_eq!(acr(json!(["pwd", "otp"])).await, (Acr::Aal1, vec![Amr::Pwd, Amr::Otp], 60));
}

/// Entra ID with two tenants: each is an issuer of its own, and people are `oid` there.
#[tokio::test]
async fn tenants_of_entra_id_are_issuers_of_their_own() {
    let tenant = |digit: &str| format!("{}-0000-0000-0000-000000000000", digit.repeat(8));
    let fake = Fake::start().await;
    let template = format!("{}/{{tenantid}}/v2.0", fake.issuer);
    fake.metadata(|metadata| metadata["issuer"] = json!(template));
    let config = provider("fake", &template, |config| {
        config.entra_tenants = ["1", "2"].map(|digit| tenant(digit).parse().expect("one")).into();
    });
    let site = company(vec![config]).await;
    let of = |digit: &'static str, oid: &'static str, sub: &'static str, name: &'static str| {
        let (tid, iss) = (tenant(digit), template.replace("{tenantid}", &tenant(digit)));
        move |claims: &mut Value| {
            (claims["tid"], claims["iss"], claims["oid"]) = (json!(tid), json!(iss), json!(oid));
            // Dated back by five minutes, as Entra ID does.
            (claims["sub"], claims["preferred_username"], claims["iat"]) = (json!(sub), json!(name), json!(NOW - 300));
        }
    };
    let mut browser = Browser::new(&site);
    trip(&mut browser, &fake, of("1", "o-1", "s-1", "mia")).await;
    let mia = person_of(&site, &browser).await.expect("signed in");
    // Registered anew, the application has other subjects; the person is the same.
    let mut again = Browser::new(&site);
    trip(&mut again, &fake, of("1", "o-1", "s-2", "mia")).await;
    assert_eq!(person_of(&site, &again).await.expect("signed in").id, mia.id);
    // The same object in the other tenant is somebody else.
    let mut other = Browser::new(&site);
    trip(&mut other, &fake, of("2", "o-1", "s-1", "mia-2")).await;
    assert_ne!(person_of(&site, &other).await.expect("signed in").id, mia.id);
    let mut stranger = Browser::new(&site);
    let landing = trip(&mut stranger, &fake, of("3", "o-1", "s-1", "mia-3")).await;
    assert_refused(&site, &stranger, &landing, "id_token_wrong_tenant").await;
}

/// Names that the provider may not have: what the profile says is text, and stays text.
#[tokio::test]
async fn what_is_no_name_is_left_out() {
    let (site, fake) = with_fake(|_| ()).await;
    let mut browser = Browser::new(&site);
    trip(&mut browser, &fake, |claims| {
        (claims["name"], claims["email"]) = (json!("Mia \u{202e}gnuJ"), json!("not an address"));
    })
    .await;
    let mia = person_of(&site, &browser).await.expect("signed in");
    assert_eq!((mia.display_name.as_str(), mia.email), ("mia", None));
}
