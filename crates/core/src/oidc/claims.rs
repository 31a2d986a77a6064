//! What a client is told about a person: the ID token (OIDC Core 1.0 §2), and the claims that a scope stands for (§5.1, §5.4).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ProfileClaims, Scope, Subject, TOKEN_LIFETIME};
use crate::id::SessionId;
use crate::jose::{self, Buffer, Kind, Refused};
use crate::keyring::{Keyring, SigningKey};
use crate::session::Session;
use crate::time::Timestamp;
use crate::user::User;

/// What an ID token says.
#[derive(Debug, Clone, Copy)]
pub struct IdToken<'a> {
    /// `iss`: the home host's URL.
    pub issuer: &'a str,
    /// `aud`: the client.
    pub client_id: &'a str,
    /// `sub`: the person, as the client knows them.
    pub subject: Subject,
    /// `sid`, `auth_time`, `acr`, `amr`
    pub session: &'a Session,
    /// What the authorization request said; none after a refresh (§12.2).
    pub nonce: Option<&'a str>,
    /// `iat`; `exp` is [`TOKEN_LIFETIME`] later.
    pub issued_at: Timestamp,
    /// What it says of the person, besides who it is (§5.4, §5.5).
    pub profile: &'a Profile,
}

/// Claims about a person, as far as a client may read them and they are there (§5.1). Nothing is said about whether the address is the person's: nobody
/// has checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the standard's names")]
pub struct Profile {
    pub name: Option<String>,
    pub preferred_username: Option<String>,
    pub email: Option<String>,
}

impl Profile {
    /// Of this person.
    pub fn of(user: &User, asked: ProfileClaims) -> Self {
        Self {
            name: asked.name.then(|| user.display_name.to_string()),
            preferred_username: asked.preferred_username.then(|| user.username.to_string()),
            email: user.email.clone().filter(|_| asked.email),
        }
    }
}

impl IdToken<'_> {
    /// Signed.
    pub fn mint(&self, key: &SigningKey) -> String {
        let session = self.session;
        let claims = Claims {
            iss: self.issuer.to_owned(),
            sub: self.subject,
            aud: self.client_id.to_owned(),
            iat: self.issued_at.as_seconds(),
            exp: (self.issued_at + TOKEN_LIFETIME).as_seconds(),
            auth_time: session.authenticated_at.as_seconds(),
            nonce: self.nonce.map(str::to_owned),
            sid: session.id,
            acr: session.acr.as_str().to_owned(),
            amr: session.amr.iter().map(|amr| amr.as_str().to_owned()).collect(),
            name: self.profile.name.clone(),
            preferred_username: self.profile.preferred_username.clone(),
            email: self.profile.email.clone(),
        };
        jose::sign(key, Kind::IdToken, &claims)
    }
}

/// An ID token that comes back as a hint, and is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedIdToken {
    /// The client that it was issued to.
    pub client_id: String,
    /// Whom it tells of, as the client knows them.
    pub subject: Subject,
    /// In which session.
    pub session_id: SessionId,
}

/// Reads an `id_token_hint`. One whose time is over is as good (OIDC RP-Initiated Logout 1.0 §2): it opens nothing, it says who asks about whom.
pub fn verify_hint(token: &str, keyring: &Keyring, issuer: &str, now: Timestamp) -> Result<VerifiedIdToken, Refused> {
    let mut buffer = Buffer::default();
    let (claims, _): (Claims, _) = jose::verify(token, Kind::IdToken, keyring, now, &mut buffer)?;
    if claims.iss != issuer {
        return Err(Refused::WrongIssuer);
    }
    Ok(VerifiedIdToken { client_id: claims.aud, subject: claims.sub, session_id: claims.sid })
}

/// What the userinfo endpoint answers (§5.3.2): what the scope stands for, and what was asked for by name.
pub fn userinfo(user: &User, subject: Subject, scope: Scope, asked: ProfileClaims) -> Value {
    let profile = Profile::of(user, ProfileClaims::of(scope).with(asked));
    let mut claims = json!({ "sub": subject });
    let said = [("name", profile.name), ("preferred_username", profile.preferred_username), ("email", profile.email)];
    for (name, value) in said {
        if let Some(value) = value {
            claims[name] = value.into();
        }
    }
    claims
}

/// Owned, because a nonce may hold characters that JSON escapes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    sub: Subject,
    aud: String,
    iat: i64,
    exp: i64,
    auth_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    sid: SessionId,
    acr: String,
    amr: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::crypto::Algorithm;
    use crate::crypto::tests::Seeded;
    use crate::id::UserId;
    use crate::keyring::Purpose;
    use crate::keyring::tests::keyring;
    use crate::session::{Acr, Amr};

    const ISSUER: &str = "https://auth.company.com";
    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn session() -> Session {
        Session {
            id: SessionId::mint(&mut Seeded(1)),
            user_id: UserId::mint(&mut Seeded(2)),
            acr: Acr::Aal1,
            amr: vec![Amr::Pwd],
            authenticated_at: NOW - Duration::from_mins(1),
            created_at: NOW,
            last_seen_at: NOW,
            expires_at: NOW + Duration::from_hours(24),
            inactivity: Duration::from_hours(1),
            persistent: false,
            ended: None,
            user_agent: String::new(),
            ip: String::new(),
        }
    }

    #[test]
    fn a_hint_is_read_back_even_late_and_only_if_it_is_an_id_token_of_ours() {
        for (purpose, algorithm) in [(Purpose::Token, Algorithm::EdDsa), (Purpose::IdToken, Algorithm::Rs256)] {
            let ring = keyring(purpose, algorithm);
            let session = session();
            let nonce = Some("a \"nonce\"");
            let token = IdToken {
                issuer: ISSUER,
                client_id: "wiki",
                subject: Subject::Public(session.user_id),
                session: &session,
                nonce,
                issued_at: NOW,
                profile: &Profile::default(),
            };
            let token = token.mint(&ring.keys()[0]);
            let read = verify_hint(&token, &ring, ISSUER, NOW + Duration::from_hours(2)).expect("ours");
            assert_eq!(
                (&*read.client_id, read.subject, read.session_id),
                ("wiki", Subject::Public(session.user_id), session.id)
            );
            assert_eq!(verify_hint(&token, &ring, "https://evil.com", NOW), Err(Refused::WrongIssuer));
            let strangers = keyring(purpose, algorithm);
            assert_eq!(verify_hint(&token, &strangers, ISSUER, NOW), Err(Refused::BadSignature));
            assert!(super::super::verify_access_token(&token, &ring, ISSUER, NOW).is_err(), "and no access token");
        }
    }

    #[test]
    fn a_scope_tells_what_it_stands_for_and_no_more() {
        let user = User {
            id: UserId::mint(&mut Seeded(2)),
            username: "ana".parse().expect("a name"),
            display_name: "Ana Costa".parse().expect("a name"),
            email: Some("ana@company.com".to_owned()),
            attributes: [("store".to_owned(), 12.into())].into(),
            disabled_at: None,
            must_change_password: false,
            created_at: NOW,
        };
        let said = |profile, email| {
            userinfo(
                &user,
                Subject::Public(user.id),
                Scope { profile, email, offline_access: false },
                ProfileClaims::default(),
            )
        };
        assert_eq!(said(false, false), json!({ "sub": user.id }));
        assert_eq!(said(false, true), json!({ "sub": user.id, "email": "ana@company.com" }));
        let names = json!({ "sub": user.id, "name": "Ana Costa", "preferred_username": "ana" });
        assert_eq!(said(true, false), names);
        let asked = ProfileClaims { email: true, ..ProfileClaims::default() };
        let none = Scope { profile: false, email: false, offline_access: false };
        assert_eq!(
            userinfo(&user, Subject::Public(user.id), none, asked),
            json!({ "sub": user.id, "email": "ana@company.com" })
        );
    }
}
