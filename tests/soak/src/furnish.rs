//! Who and what is there: one app with its roles, and for every round people who are about to sign in, sign out, be disabled.

use std::collections::BTreeMap;

use hallpass_core::app::{Access, App, AppSecret};
use hallpass_core::authenticator::Workspace;
use hallpass_core::authenticator::password::{Argon2Cost, Password, hash};
use hallpass_core::crypto::SystemRandom;
use hallpass_core::id::{RoleId, SecretId, SessionId, UserId};
use hallpass_core::secret::{Secret, SecretKey, SessionSecret};
use hallpass_core::session::{Acr, Amr, Session, SessionPolicy};
use hallpass_core::time::Timestamp;
use hallpass_core::user::User;
use hallpass_server::context::Clock;
use hallpass_store::roles::Role;
use hallpass_store::sessions::NewSession;
use hallpass_store::{Store, Write, apps, authenticators, roles, sessions, users};
use reqwest::StatusCode;
use tokio::task::JoinSet;

use crate::door::{Door, Refreshed};
use crate::figures::wait_for;
use crate::load::PROPAGATION;
use crate::rig::Checked;

/// The app's key.
pub const APP: &str = "pos";
/// Where it would be reached.
pub const APP_ORIGIN: &str = "http://pos.company.localhost:7070";
/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery staple";
/// Requests at once while passes are fetched.
const AT_ONCE: usize = 8;

/// The app as registered.
#[derive(Clone)]
pub struct Furnished {
    /// Its secret key.
    pub secret: String,
    /// Its roles.
    pub roles: Vec<(RoleId, String)>,
    password_hash: String,
}

/// One browser's session.
#[derive(Debug, Clone)]
pub struct Held {
    /// The session.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
    /// The session cookie.
    pub secret: String,
    /// Its pass; empty until fetched.
    pub pass: String,
}

/// Everybody in one round.
#[derive(Default)]
pub struct Cast {
    /// Sessions to be ended one by one.
    pub leaving: Vec<Held>,
    /// People to be signed out everywhere, with all their sessions.
    pub leaving_everywhere: Vec<Vec<Held>>,
    /// People to be disabled, with all their sessions.
    pub to_disable: Vec<Vec<Held>>,
    /// People whose roles change.
    pub changing: Vec<Held>,
    /// People to whom nothing happens.
    pub staying: Vec<Held>,
    /// People who sign in: their identifiers and names.
    pub arriving: Vec<(UserId, String)>,
}

impl Cast {
    /// Every session there is.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        let several = self.leaving_everywhere.iter().chain(&self.to_disable).flatten();
        self.leaving.iter().chain(several).chain(&self.changing).chain(&self.staying)
    }

    fn held_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        let several = self.leaving_everywhere.iter_mut().chain(&mut self.to_disable).flatten();
        self.leaving.iter_mut().chain(several).chain(&mut self.changing).chain(&mut self.staying)
    }
}

/// The present instant.
pub fn instant() -> Timestamp {
    Clock::System.now()
}

/// Registers the app with six roles. Everybody may enter it, so that losing a role never looks like losing the session.
pub async fn furnish(store: &Store) -> Checked<Furnished> {
    let (now, random) = (instant(), &mut SystemRandom);
    let app = App {
        origins: vec![APP_ORIGIN.parse()?],
        access: Access::Everyone,
        relayed_sign_in: true,
        ..App::new(APP.parse()?, "Point of sale", "home".parse()?)
    };
    let mut write = store.write().await?;
    apps::upsert(&mut write, &app, now).await?;
    let secret = add_secret(&mut write, now).await?;
    let mut named = Vec::new();
    for number in 1..=6 {
        let name = format!("role-{number}");
        let permissions = vec![format!("can{number}").parse()?];
        let role = Role { id: RoleId::mint(random), app: app.key.clone(), name: name.parse()?, permissions };
        named.push((roles::upsert(&mut write, &role, now).await?, name));
    }
    write.commit().await?;
    let password_hash =
        hash(&Password::presented(PASSWORD.to_owned())?, Argon2Cost::default(), &mut Workspace::default(), random)?;
    Ok(Furnished { secret, roles: named, password_hash: password_hash.as_str().to_owned() })
}

async fn add_secret(write: &mut Write, now: Timestamp) -> Checked<String> {
    let secret = Secret::<SecretKey>::mint(&mut SystemRandom);
    let row = AppSecret {
        id: SecretId::mint(&mut SystemRandom),
        app: APP.parse()?,
        digest: secret.digest(),
        created_at: now,
        expires_at: None,
        last_used_at: None,
    };
    if !apps::add_secret(write, &row, now).await? {
        return Err("the app has two live secrets already".into());
    }
    Ok(secret.expose().to_string())
}

/// People and sessions for one round of the kill.
pub async fn cast(store: &Store, furnished: &Furnished) -> Checked<Cast> {
    let mut made = Makings::default();
    let mut cast = Cast::default();
    // More than one round can use up: nobody may run out of work before the kill.
    for _ in 0..60 {
        cast.leaving.extend(made.person(4)?);
    }
    for _ in 0..40 {
        cast.leaving_everywhere.push(made.person(4)?);
        cast.to_disable.push(made.person(3)?);
    }
    for _ in 0..8 {
        cast.changing.extend(made.person(1)?);
        cast.staying.extend(made.person(1)?);
        made.person(0)?;
        let arriving = made.users.last().ok_or("nobody was made")?;
        cast.arriving.push((arriving.id, arriving.username.to_string()));
    }
    let arriving: Vec<_> = cast.arriving.iter().map(|(user, _)| (*user, furnished.password_hash.clone())).collect();
    let mut write = store.write().await?;
    made.store(&mut write).await?;
    authenticators::add_passwords(&mut write, &arriving, instant()).await?;
    write.commit().await?;
    Ok(cast)
}

/// So many people with one session each.
pub async fn people(store: &Store, count: usize) -> Checked<Vec<Held>> {
    let mut made = Makings::default();
    let mut held = Vec::new();
    for _ in 0..count {
        held.extend(made.person(1)?);
    }
    let mut write = store.write().await?;
    made.store(&mut write).await?;
    write.commit().await?;
    Ok(held)
}

/// Fetches a pass for each of them.
pub async fn fetch_passes(door: &Door, cast: &mut Cast) -> Checked<()> {
    fetch(door, cast.held_mut().collect()).await
}

/// The same for a list.
pub async fn fetch_passes_for(door: &Door, held: &mut [Held]) -> Checked<()> {
    fetch(door, held.iter_mut().collect()).await
}

async fn fetch(door: &Door, mut held: Vec<&mut Held>) -> Checked<()> {
    let first = held.first().ok_or("nobody to fetch a pass for")?;
    // The app may have been registered a moment ago, by another process than the node's.
    wait_for("the node to know the app", PROPAGATION, async || match door.refresh(&first.secret).await? {
        Refreshed::Pass(_) => Ok(Some(())),
        Refreshed::Refused(StatusCode::FORBIDDEN) => Ok(None),
        other => Err(format!("a live session got no pass: {other:?}").into()),
    })
    .await?;
    for chunk in held.chunks_mut(AT_ONCE) {
        let mut asking = JoinSet::new();
        for (index, held) in chunk.iter().enumerate() {
            let (door, secret) = (door.clone(), held.secret.clone());
            asking.spawn(async move { (index, door.refresh(&secret).await) });
        }
        while let Some(asked) = asking.join_next().await {
            let (index, refreshed) = asked?;
            match refreshed? {
                Refreshed::Pass(pass) => chunk[index].pass = pass,
                other => return Err(format!("a live session got no pass: {other:?}").into()),
            }
        }
    }
    Ok(())
}

/// Rows that are about to be stored.
#[derive(Default)]
struct Makings {
    users: Vec<User>,
    sessions: Vec<NewSession>,
}

impl Makings {
    fn person(&mut self, sessions: usize) -> Checked<Vec<Held>> {
        let now = instant();
        let id = UserId::mint(&mut SystemRandom);
        let user = User {
            id,
            username: id.to_string().parse()?,
            display_name: "Somebody".parse()?,
            email: None,
            attributes: BTreeMap::new(),
            disabled_at: None,
            must_change_password: false,
            created_at: now,
        };
        self.users.push(user);
        Ok((0..sessions).map(|_| self.session(id, now)).collect())
    }

    fn session(&mut self, user: UserId, now: Timestamp) -> Held {
        let secret = Secret::<SessionSecret>::mint(&mut SystemRandom);
        let (absolute, inactivity) = SessionPolicy::default().lifetimes(false);
        let session = Session {
            id: SessionId::mint(&mut SystemRandom),
            user_id: user,
            acr: Acr::Aal1,
            amr: vec![Amr::Pwd],
            authenticated_at: now,
            created_at: now,
            last_seen_at: now,
            expires_at: now + absolute,
            inactivity,
            persistent: false,
            ended: None,
            user_agent: "soak".to_owned(),
            ip: "127.0.0.1".to_owned(),
        };
        let held = Held { session: session.id, user, secret: secret.expose().to_string(), pass: String::new() };
        self.sessions.push(NewSession { session, secret: secret.digest(), device: None });
        held
    }

    async fn store(self, write: &mut Write) -> Checked<()> {
        users::add_many(write, &self.users).await?;
        Ok(sessions::start_many(write, &self.sessions).await?)
    }
}
