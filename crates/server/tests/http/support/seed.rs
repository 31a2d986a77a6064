//! People, apps and roles, put into the database by the functions that the product itself uses.

use std::sync::OnceLock;

use hallpass_core::app::{Access, App, AppSecret};
use hallpass_core::authenticator::Workspace;
use hallpass_core::authenticator::password::{Argon2Cost, Password, hash};
use hallpass_core::crypto::SystemRandom;
use hallpass_core::id::{RoleId, SecretId, SessionId, UserId, ZoneName};
use hallpass_core::keyring::Purpose;
use hallpass_core::pass::{self, Pass, PassPolicy};
use hallpass_core::secret::{Digest, Kind, Secret};
use hallpass_core::session::{Acr, Amr, EndReason, Session, SessionPolicy};
use hallpass_core::time::Timestamp;
use hallpass_core::user::User;
use hallpass_core::zone::{CookieName, Zone};
use hallpass_server::engine::Engine;
use hallpass_store::roles::{Holder, Role};
use hallpass_store::sessions::NewSession;
use hallpass_store::{Store, apps, authenticators, roles, sessions, users, zones};

use super::{HOME, PASSWORD, Site};

/// An app's key pair.
#[derive(Debug, Clone)]
pub struct Caller {
    pub key: String,
    pub secret: String,
}

/// Somebody who is signed in, as the database, the browser and the zone know it.
pub struct SignedIn {
    pub session: Session,
    /// The value of the session cookie.
    pub cookie: String,
    /// The home zone's pass.
    pub pass: String,
}

impl SignedIn {
    pub fn sid(&self) -> String {
        self.session.id.to_string()
    }
}

/// The digest under which the database knows a secret.
pub fn digest_of<K: Kind>(text: &str) -> Digest<K> {
    Secret::<K>::parse(text).expect("one of ours").digest()
}

/// `pos` and `wiki` in the home zone, `shop` in another one, `ana` the cashier.
pub(super) async fn company(engine: &Engine) -> (Caller, Caller, User) {
    let (store, now) = (&engine.context.store, engine.context.now());
    let elsewhere = Zone {
        name: "elsewhere".parse().expect("a name"),
        cookie_domain: "company2.com".parse().expect("a domain"),
        cookie_name: CookieName::default(),
        home: false,
        bound: false,
        at_sign_in: false,
        alias: Some("https://sso.company2.com".parse().expect("an origin")),
    };
    let mut write = store.write().await.expect("writes");
    zones::upsert(&mut write, &elsewhere, now).await.expect("adds");
    write.commit().await.expect("commits");
    let pos = add_app(store, app("pos"), now).await;
    let wiki = add_app(store, App { access: Access::Everyone, ..app("wiki") }, now).await;
    let ana = add_user(store, "ana", |_| (), now).await;
    let cashier = add_role(store, "pos", "cashier", &["canRefund", "canCreateOrder"], now).await;
    let mut write = store.write().await.expect("writes");
    roles::assign(&mut write, &cashier, Holder::User(ana.id), now).await.expect("assigns");
    write.commit().await.expect("commits");
    (pos, wiki, ana)
}

/// An app of the home zone, for people with a role in it.
pub fn app(key: &str) -> App {
    App {
        origins: vec![
            format!("https://{key}.company.com").parse().expect("an origin"),
            format!("https://{key}-2.company.com").parse().expect("an origin"),
        ],
        audiences: vec!["billing".parse().expect("an audience")],
        ..App::new(key.parse().expect("a key"), format!("The {key}"), "home".parse().expect("a name"))
    }
}

async fn add_app(store: &Store, app: App, now: Timestamp) -> Caller {
    let mut write = store.write().await.expect("writes");
    apps::upsert(&mut write, &app, now).await.expect("adds");
    let caller = add_secret(&mut write, app.key.as_str(), None, now).await;
    write.commit().await.expect("commits");
    caller
}

async fn add_secret(
    write: &mut hallpass_store::Write,
    app: &str,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Caller {
    let secret = Secret::mint(&mut SystemRandom);
    let row = AppSecret {
        id: SecretId::mint(&mut SystemRandom),
        app: app.parse().expect("a key"),
        digest: secret.digest(),
        created_at: now,
        expires_at,
        last_used_at: None,
    };
    assert!(apps::add_secret(write, &row, now).await.expect("adds"), "two live secrets are enough");
    Caller { key: app.to_owned(), secret: secret.expose().to_string() }
}

async fn add_user(store: &Store, name: &str, change: impl FnOnce(&mut User), now: Timestamp) -> User {
    // Hashed once for the whole run, at the lowest legal cost: the work is the same for everybody.
    static HASH: OnceLock<String> = OnceLock::new();
    let hash = HASH.get_or_init(|| {
        let password = Password::presented(PASSWORD.to_owned()).expect("a password");
        hash(&password, Argon2Cost::default(), &mut Workspace::default(), &mut SystemRandom)
            .expect("there is memory")
            .as_str()
            .to_owned()
    });
    let mut user = User {
        id: UserId::mint(&mut SystemRandom),
        username: name.parse().expect("a name"),
        display_name: format!("{name} Costa").parse().expect("a name"),
        email: None,
        attributes: [("store".to_owned(), 12.into())].into(),
        disabled_at: None,
        must_change_password: false,
        created_at: now,
    };
    change(&mut user);
    let mut write = store.write().await.expect("writes");
    users::add(&mut write, &user).await.expect("adds");
    authenticators::set_password(&mut write, &user.id, hash, now).await.expect("sets");
    write.commit().await.expect("commits");
    user
}

async fn add_role(store: &Store, app: &str, name: &str, permissions: &[&str], now: Timestamp) -> RoleId {
    let role = Role {
        id: RoleId::mint(&mut SystemRandom),
        app: app.parse().expect("a key"),
        name: name.parse().expect("a name"),
        permissions: permissions.iter().map(|text| text.parse().expect("a permission")).collect(),
    };
    let mut write = store.write().await.expect("writes");
    let id = roles::upsert(&mut write, &role, now).await.expect("adds");
    write.commit().await.expect("commits");
    id
}

impl Site {
    pub fn store(&self) -> &Store {
        &self.engine.context.store
    }

    /// Adds an app with a secret key, or changes one that is there and gives it another secret key.
    pub async fn app(&self, key: &str, change: impl FnOnce(&mut App)) -> Caller {
        let mut app = app(key);
        change(&mut app);
        add_app(self.store(), app, self.now()).await
    }

    /// Gives an app another secret key.
    pub async fn secret(&self, app: &str, expires_at: Option<Timestamp>) -> Caller {
        let mut write = self.store().write().await.expect("writes");
        let caller = add_secret(&mut write, app, expires_at, self.now()).await;
        write.commit().await.expect("commits");
        caller
    }

    /// Adds a user who may enter nothing that asks for an assignment.
    pub async fn user(&self, name: &str) -> User {
        self.user_with(name, |_| ()).await
    }

    pub async fn user_with(&self, name: &str, change: impl FnOnce(&mut User)) -> User {
        add_user(self.store(), name, change, self.now()).await
    }

    pub async fn role(&self, app: &str, name: &str, permissions: &[&str]) -> RoleId {
        add_role(self.store(), app, name, permissions, self.now()).await
    }

    /// Makes somebody a cashier at `pos`, or takes that away.
    pub async fn cashier(&self, user: &User, is: bool) {
        let (app, name) = ("pos".parse().expect("a key"), "cashier".parse().expect("a name"));
        let mut write = self.store().write().await.expect("writes");
        let role = roles::by_name(&mut write, &app, &name).await.expect("reads").expect("there").id;
        let holder = Holder::User(user.id);
        let changed = if is {
            roles::assign(&mut write, &role, holder, self.now()).await
        } else {
            roles::unassign(&mut write, &role, holder, self.now()).await
        };
        assert!(changed.expect("writes"), "it was so already");
        write.commit().await.expect("commits");
    }

    pub async fn disable(&self, user: &User) {
        let mut write = self.store().write().await.expect("writes");
        assert!(users::set_disabled(&mut write, &user.id, true, self.now()).await.expect("writes"));
        write.commit().await.expect("commits");
    }

    pub async fn must_change_password(&self, user: &User) {
        let mut write = self.store().write().await.expect("writes");
        assert!(users::set_must_change_password(&mut write, &user.id, true, self.now()).await.expect("writes"));
        write.commit().await.expect("commits");
    }

    /// A session that begins now, without the pages.
    pub async fn signed_in(&self, user: &User) -> SignedIn {
        self.signed_in_with(user, |_| ()).await
    }

    pub async fn signed_in_with(&self, user: &User, change: impl FnOnce(&mut Session)) -> SignedIn {
        let (now, secret) = (self.now(), Secret::mint(&mut SystemRandom));
        let (absolute, inactivity) = SessionPolicy::default().lifetimes(false);
        let mut session = Session {
            id: SessionId::mint(&mut SystemRandom),
            user_id: user.id,
            acr: Acr::Aal1,
            amr: vec![Amr::Pwd],
            authenticated_at: now,
            created_at: now,
            last_seen_at: now,
            expires_at: now + absolute,
            inactivity,
            persistent: false,
            ended: None,
            user_agent: "Firefox/128.0 Linux".to_owned(),
            ip: "192.0.2.7".to_owned(),
        };
        change(&mut session);
        let mut write = self.store().write().await.expect("writes");
        let new = NewSession { session: session.clone(), secret: secret.digest(), device: None };
        assert!(sessions::start(&mut write, &new).await.expect("writes"), "the user is disabled");
        write.commit().await.expect("commits");
        let pass = self.pass(&session, "home").await;
        SignedIn { session, cookie: secret.expose().to_string(), pass }
    }

    /// A pass of this session that is minted now.
    pub async fn pass(&self, session: &Session, zone: &str) -> String {
        let policy = self.engine.context.view.policy().await.expect("reads");
        let signer = policy.keyring.signer(Purpose::Pass, self.now()).expect("a key");
        let zone: ZoneName = zone.parse().expect("a name");
        let expires_at = PassPolicy::default().expiry(self.now(), session.expires_at);
        pass::mint(
            signer,
            &Pass {
                issuer: HOME,
                zone: &zone,
                user_id: session.user_id,
                session_id: session.id,
                issued_at: self.now(),
                expires_at,
                authenticated_at: session.authenticated_at,
            },
        )
    }

    pub async fn end(&self, session: &Session) {
        let mut write = self.store().write().await.expect("writes");
        assert!(sessions::end(&mut write, &session.id, EndReason::EndedByAdmin, self.now()).await.expect("writes"));
        write.commit().await.expect("commits");
    }
}
