//! Authorization codes and refresh tokens: once, in time, and never after the session has ended.

use std::time::Duration;

use hallpass_core::handoff::CodeChallenge;
use hallpass_core::id::FamilyId;
use hallpass_core::jwk::Thumbprint;
use hallpass_core::oidc::{CODE_LIFETIME, RequestedClaims, Resources, Scope};
use hallpass_core::secret::{AuthorizationCode, Digest, RefreshToken};
use hallpass_core::session::EndReason;
use hallpass_store::codes::{self, NewCode};
use hallpass_store::sessions::{self, NewSession};
use hallpass_store::tokens::{self, NewFamily, Rotation};
use hallpass_store::{Write, apps, users, zones};

use crate::support::*;

const SCOPE: Scope = Scope { profile: true, email: false, offline_access: false };
const KEY: Thumbprint = Thumbprint::from_bytes([7; 32]);
const OTHER_KEY: Thumbprint = Thumbprint::from_bytes([8; 32]);
const LIFETIME: Duration = Duration::from_hours(7 * 24);

/// A live session and a client.
pub async fn prepared(write: &mut Write) -> NewSession {
    zones::upsert(write, &zone("home", true), NOW).await.expect("adds");
    apps::upsert(write, &app("crm", "home"), NOW).await.expect("adds");
    let ana = added_user(write, "ana").await;
    let new = session(&ana);
    assert!(sessions::start(write, &new).await.expect("starts"));
    new
}

fn asked() -> RequestedClaims {
    "id_token.email userinfo.name".parse().expect("claims")
}

fn services() -> Resources {
    "billing https://stock.company.com".parse().expect("names")
}

pub async fn code(write: &mut Write, session: &NewSession) -> Digest<AuthorizationCode> {
    let (code, key) = (digest(), key("crm"));
    let new = NewCode {
        code,
        app: &key,
        session: session.session.id,
        redirect_uri: "https://crm.company.com/b",
        scope: SCOPE,
        resources: &services(),
        claims: asked(),
        nonce: Some("n"),
        challenge: CodeChallenge::from_bytes([3; 32]),
        key: Some(KEY),
    };
    assert!(codes::issue(write, &new, NOW).await.expect("issues"));
    code
}

pub async fn family(write: &mut Write, session: &NewSession) -> (FamilyId, Digest<RefreshToken>) {
    family_with(write, session, SCOPE).await
}

async fn family_with(write: &mut Write, session: &NewSession, scope: Scope) -> (FamilyId, Digest<RefreshToken>) {
    let (id, token) = (FamilyId::mint(NOW, &mut Different), digest());
    let key = key("crm");
    let new = NewFamily {
        id,
        app: &key,
        session: session.session.id,
        scope,
        resources: &services(),
        claims: asked(),
        lifetime: LIFETIME,
        token,
        key: None,
    };
    tokens::begin(write, &new, NOW).await.expect("begins");
    (id, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_reads_back_and_is_used_up_once_and_in_time() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let session = prepared(&mut write).await;
        let one = code(&mut write, &session).await;
        let found = codes::find(&mut write, &one).await.expect("reads").expect("there");
        assert_eq!((found.app, found.session, found.scope), (key("crm"), session.session.id, SCOPE));
        assert_eq!((found.resources, found.claims), (services(), asked()));
        assert_eq!((&*found.redirect_uri, found.nonce.as_deref()), ("https://crm.company.com/b", Some("n")));
        assert_eq!((found.expires_at, found.redeemed_at, found.key), (NOW + CODE_LIFETIME, None, Some(KEY)));
        let [family, other] = [NOW, later(1)].map(|now| FamilyId::mint(now, &mut Different));
        assert_eq!(codes::family(&mut write, &one).await.expect("reads"), None);
        assert!(codes::redeem(&mut write, &one, &family, later(59)).await.expect("redeems"));
        assert!(!codes::redeem(&mut write, &one, &other, later(59)).await.expect("asks"), "used up");
        assert_eq!(codes::family(&mut write, &one).await.expect("reads"), Some(family), "of whoever was first");
        let two = code(&mut write, &session).await;
        assert!(!codes::redeem(&mut write, &two, &other, later(60)).await.expect("asks"), "too late");
        assert_eq!(codes::family(&mut write, &two).await.expect("reads"), None);
        assert!(!codes::redeem(&mut write, &digest(), &other, NOW).await.expect("asks"), "nobody's");
        assert_eq!(codes::family(&mut write, &digest()).await.expect("reads"), None);
        assert_eq!(codes::prune(&mut write, later(60), 10).await.expect("prunes"), 0);
        assert_eq!(codes::prune(&mut write, later(61), 10).await.expect("prunes"), 2);

        sessions::end(&mut write, &session.session.id, EndReason::SignedOut, NOW).await.expect("ends");
        assert!(!sessions::hold(&mut write, &session.session.id).await.expect("asks"));
        let key = key("crm");
        let late = NewCode {
            code: digest(),
            app: &key,
            session: session.session.id,
            redirect_uri: "",
            scope: SCOPE,
            resources: &services(),
            claims: asked(),
            nonce: None,
            challenge: CodeChallenge::from_bytes([3; 32]),
            key: None,
        };
        assert!(!codes::issue(&mut write, &late, NOW).await.expect("asks"), "none for a session that is over");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_family_moves_on_generation_by_generation_until_it_is_revoked() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let session = prepared(&mut write).await;
        let (id, first) = family(&mut write, &session).await;
        let second = digest();
        let rotation = Rotation { family: id, from: 1, token: second, answer: b"sealed", key: Some(KEY) };
        assert!(tokens::rotate(&mut write, &rotation, later(5)).await.expect("rotates"));
        let again = Rotation { token: digest(), ..rotation.clone() };
        assert!(!tokens::rotate(&mut write, &again, later(5)).await.expect("asks"), "it is further already");
        for (token, generation) in [(first, 1), (second, 2)] {
            let (presented, found) = tokens::by_token(&mut write, &token).await.expect("reads").expect("there");
            assert_eq!((presented, found.id, found.generation, found.rotated_at), (generation, id, 2, later(5)));
            assert_eq!((found.answer.as_deref(), found.revoked_at), (Some(&b"sealed"[..]), None));
            assert_eq!(found.key, Some(KEY));
            assert_eq!((found.app, found.session, found.scope), (key("crm"), session.session.id, SCOPE));
            assert_eq!((found.resources, found.claims), (services(), asked()));
        }
        assert!(tokens::revoke(&mut write, &id, later(6)).await.expect("revokes"));
        assert!(!tokens::revoke(&mut write, &id, later(7)).await.expect("asks"));
        let found = tokens::find(&mut write, &id).await.expect("reads").expect("there");
        assert_eq!((found.revoked_at, found.answer), (Some(later(6)), None), "and repeats nothing any more");
        let next = Rotation { family: id, from: 2, token: digest(), answer: b"", key: Some(OTHER_KEY) };
        assert!(!tokens::rotate(&mut write, &next, later(8)).await.expect("asks"), "revoked is revoked");
        assert_eq!(tokens::prune(&mut write, NOW + LIFETIME, 10).await.expect("prunes"), 0);
        assert_eq!(tokens::prune(&mut write, later(7 * 24 * 3600 + 1), 10).await.expect("prunes"), 1);
        assert!(tokens::by_token(&mut write, &first).await.expect("reads").is_none(), "gone with its family");
    })
    .await;
}

/// RFC 9449 §5: whoever holds the key has the family, from the first time that they say so and for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_family_is_bound_to_one_key_for_ever() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let session = prepared(&mut write).await;
        let (family, _) = family(&mut write, &session).await;
        for (from, key, expected) in
            [(1, None, None), (2, Some(KEY), Some(KEY)), (3, Some(OTHER_KEY), Some(KEY)), (4, None, Some(KEY))]
        {
            let rotation = Rotation { family, from, token: digest(), answer: b"sealed", key };
            assert!(tokens::rotate(&mut write, &rotation, NOW).await.expect("rotates"));
            let found = tokens::find(&mut write, &family).await.expect("reads").expect("there");
            assert_eq!(found.key, expected, "{from}");
        }
    })
    .await;
}

/// OIDC Core §11: such a family stays when its session has ended, with the row that says whose it is, until everything of its user is ended.
#[tokio::test(flavor = "multi_thread")]
async fn offline_families_outlive_their_session_but_not_the_end_of_them_all() {
    on_both(|database| async move {
        let mut write = database.write().await;
        let ana = prepared(&mut write).await;
        let offline = Scope { offline_access: true, ..SCOPE };
        let (kept, _) = family_with(&mut write, &ana, offline).await;
        let (other, _) = family(&mut write, &ana).await;
        assert!(sessions::end(&mut write, &ana.session.id, EndReason::SignedOut, NOW).await.expect("ends"));
        let past = later(3600 * 24 * 365);
        assert_eq!(sessions::prune(&mut write, past, 10).await.expect("prunes"), 0, "a family lives on it");
        assert_eq!(tokens::find(&mut write, &kept).await.expect("reads").expect("there").scope, offline);
        assert!(tokens::hold(&mut write, &kept).await.expect("holds"));

        // Another person's is left alone.
        let ben = session(&added_user(&mut write, "ben").await);
        assert!(sessions::start(&mut write, &ben).await.expect("starts"));
        let (bens, _) = family_with(&mut write, &ben, offline).await;
        let reason = EndReason::SignedOutEverywhere;
        let ended = sessions::end_all_of(&mut write, &ana.session.user_id, None, reason, later(1)).await.expect("ends");
        assert!(ended.is_empty(), "there was no live session left");
        let revoked_at =
            async |write: &mut Write, id| tokens::find(write, id).await.expect("reads").expect("there").revoked_at;
        assert_eq!(revoked_at(&mut write, &kept).await, Some(later(1)));
        assert_eq!(revoked_at(&mut write, &other).await, None, "ends with its session, which is over");
        assert_eq!(revoked_at(&mut write, &bens).await, None);
        assert!(!tokens::hold(&mut write, &kept).await.expect("asks"), "it has ended");
        assert_eq!(
            sessions::prune(&mut write, past, 10).await.expect("prunes"),
            1,
            "now the row can go, with its families"
        );
        assert!(tokens::find(&mut write, &kept).await.expect("reads").is_none());

        // A new password ends those of the session that stays, too; disabling somebody ends all.
        let (of_session, _) = family_with(&mut write, &ben, offline).await;
        let keep = Some(&ben.session.id);
        let reason = EndReason::PasswordChanged;
        sessions::end_all_of(&mut write, &ben.session.user_id, keep, reason, later(2)).await.expect("ends");
        assert_eq!(revoked_at(&mut write, &of_session).await, Some(later(2)));
        let (last, _) = family_with(&mut write, &ben, offline).await;
        assert!(users::set_disabled(&mut write, &ben.session.user_id, true, later(3)).await.expect("disables"));
        assert_eq!(revoked_at(&mut write, &last).await, Some(later(3)));
    })
    .await;
}
