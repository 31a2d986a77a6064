//! An installation with people in it: one zone, two apps, roles by group and direct, and as many sessions as asked for, each of a user
//! of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hallpass_core::app::{Access, App, AppSecret};
use hallpass_core::authenticator::Workspace;
use hallpass_core::authenticator::password::{self, Argon2Cost, Password};
use hallpass_core::crypto::{MasterKey, SystemRandom};
use hallpass_core::id::{GroupId, RoleId, SecretId, SessionId, UserId};
use hallpass_core::keyring::{Keyring, SealedKey};
use hallpass_core::oidc::IdTokenAlgorithm;
use hallpass_core::secret::{Digest, Secret, SecretKey};
use hallpass_core::session::{Acr, Amr, Session};
use hallpass_core::user::User;
use hallpass_core::zone::{CookieName, Zone};
use hallpass_store::groups::{self, Group};
use hallpass_store::roles::{self, Holder, Role};
use hallpass_store::sessions::{self, NewSession};
use hallpass_store::{Store, apps, authenticators, keys, users, zones};

use crate::Failure;
use crate::clock::now;
use crate::database::Direct;
use crate::load::random;
use crate::oidc;
use crate::process::{self, DatabaseProcesses, Server};

/// The home host: what browsers would see in front of it. Nothing ever looks it up.
pub const HOME: &str = "auth.company.com";
/// The app that introspects.
pub const APP: &str = "pos";
/// Its host.
pub const APP_HOST: &str = "pos.company.com";
/// Another root domain's alias, and an app there.
pub const ALIAS: &str = "sso.company2.com";
/// An app in a third root domain that is its own agent.
pub const TILL: &str = "till.company3.com";
/// Everybody's password, where somebody signs in.
pub const PASSWORD: &str = "correct-horse-battery-staple";
const GROUPS: usize = 100;
/// Rows in one transaction.
const BATCH: usize = 20_000;

/// Role, app, permissions; those that groups hold come first.
const ROLES: [(&str, &str, &[&str]); 4] = [
    ("cashier", "cashier", &["canCreateOrder", "canCloseTill"]),
    ("seller", "pos", &["canCreateOrder", "canSeeStock", "canPrintReceipt"]),
    ("clerk", "pos", &["canSeeReports"]),
    ("refunder", "pos", &["canRefund", "canVoidOrder"]),
];

/// One installation.
pub struct Installation {
    /// The database's URL.
    pub url: String,
    /// Sessions in it, numbered from 0.
    pub sessions: usize,
    /// `Authorization` of the app that introspects.
    pub authorization: String,
    /// `Authorization` of the app that is its own agent.
    pub agent_authorization: String,
    /// Where its database runs.
    pub database: DatabaseProcesses,
    binary: PathBuf,
    data: PathBuf,
}

impl Installation {
    /// Lets the server make what it needs, then adds apps, roles and groups. `data` must exist.
    pub async fn new(binary: &Path, url: String, data: PathBuf) -> Result<Self, Failure> {
        let mut installation = Self {
            url,
            sessions: 0,
            authorization: String::new(),
            agent_authorization: String::new(),
            database: DatabaseProcesses::Inside,
            binary: binary.to_owned(),
            data,
        };
        installation.start().await?.stop().await?;
        installation.furnish().await?;
        Ok(installation)
    }

    /// Starts `hallpass serve` on it.
    pub async fn start(&self) -> Result<Server, Failure> {
        let settings = [
            ("HALLPASS_PUBLIC_URL", format!("https://{HOME}")),
            ("HALLPASS_COOKIE_DOMAIN", "company.com".to_owned()),
            ("HALLPASS_DATA_DIR", self.data.display().to_string()),
            ("HALLPASS_DATABASE_URL", self.url.clone()),
            // The receivers of logout tokens are on this machine.
            ("HALLPASS_SIGN_OUT_ALLOW_INTERNAL", "127.0.0.0/8".to_owned()),
            // The sign-in load names an address of its own for each person, as a proxy in front would.
            ("HALLPASS_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
        ];
        let mut server = process::hallpass(&self.binary, &settings, &self.data.join("server.log")).await?;
        server.database = self.database;
        Ok(server)
    }

    /// The installation's own signing keys, opened with its own master key.
    pub async fn keyring(&self) -> Result<Keyring, Failure> {
        let text = std::fs::read_to_string(self.data.join("master.key"))?;
        let bytes = URL_SAFE_NO_PAD.decode(text.trim())?;
        let sealer = MasterKey::new(bytes.as_slice().try_into()?).sealer(SealedKey::SEALER);
        let store = self.store().await?;
        let sealed = keys::all(&mut store.read().await?).await?;
        store.close().await;
        let opened: Result<Vec<_>, _> = sealed.iter().map(|key| key.open(&sealer)).collect();
        Ok(Keyring::new(opened?))
    }

    /// Adds users with their roles and sessions until there are `wanted`. The server must not run.
    pub async fn grow(&mut self, wanted: usize) -> Result<(), Failure> {
        let from = self.sessions;
        let store = self.store().await?;
        for start in (from..wanted).step_by(BATCH) {
            let mut numbers: Vec<usize> = (start..wanted.min(start + BATCH)).collect();
            numbers.sort_by_key(|number| bytes(0, *number)[0]);
            let people: Vec<User> = numbers.iter().copied().map(person).collect::<Result<_, _>>()?;
            let signed_in: Vec<NewSession> = numbers.into_iter().map(signed_in).collect();
            let mut write = store.write().await?;
            users::add_many(&mut write, &people).await?;
            sessions::start_many(&mut write, &signed_in).await?;
            write.commit().await?;
        }
        store.close().await;
        let mut direct = Direct::open(&self.url).await?;
        // The last two digits choose the group, the last one who may refund.
        let (first, last) = (username(from), username(wanted - 1));
        let new = format!("users.canonical BETWEEN '{first}' AND '{last}'");
        let members = format!(
            "INSERT INTO group_members (group_id, user_id) SELECT groups.id, users.id FROM users
             JOIN groups ON groups.name = 'store-' || substr(users.canonical, 7, 2) WHERE {new}"
        );
        let held = format!(
            "INSERT INTO user_roles (user_id, role_id) SELECT users.id, roles.id FROM users JOIN roles ON roles.app_key = 'pos'
             AND roles.name = CASE WHEN substr(users.canonical, 8, 1) = '0' THEN 'refunder' ELSE 'clerk' END WHERE {new}"
        );
        for statement in [members, held] {
            let rows = direct.execute(statement).await?;
            if rows != (wanted - from) as u64 {
                return Err(format!("{rows} assignments for {} users", wanted - from).into());
            }
        }
        direct.tidy().await?;
        direct.close().await?;
        self.sessions = wanted;
        Ok(())
    }

    /// Gives everybody [`PASSWORD`], hashed once: comparing costs the same, and seeding does not take half an hour.
    pub async fn give_passwords(&self) -> Result<(), Failure> {
        let (typed, cost) = (Password::presented(PASSWORD.to_owned())?, Argon2Cost::default());
        let hash = password::hash(&typed, cost, &mut Workspace::default(), &mut SystemRandom)?;
        let passwords: Vec<_> = (0..self.sessions).map(|number| (user_id(number), hash.as_str().to_owned())).collect();
        let store = self.store().await?;
        let mut write = store.write().await?;
        authenticators::add_passwords(&mut write, &passwords, now()).await?;
        write.commit().await?;
        store.close().await;
        Ok(())
    }

    /// Registers an app that takes logout tokens at this address, and tells it of these sessions. The server may run.
    pub async fn receiver(&self, key: &str, url: &str, sessions: std::ops::Range<usize>) -> Result<(), Failure> {
        let store = self.store().await?;
        let mut write = store.write().await?;
        let mut app = apps::find(&mut write, &APP.parse()?).await?.ok_or("the app is not there")?;
        (app.key, app.origins) = (key.parse()?, vec![format!("https://{key}.company.com").parse()?]);
        app.logout_urls = vec![url.parse()?];
        apps::upsert(&mut write, &app, now()).await?;
        let told: Vec<_> = sessions.map(|number| (session_id(number), app.key.clone())).collect();
        sessions::record_told(&mut write, &told, now()).await?;
        write.commit().await?;
        store.close().await;
        Ok(())
    }

    /// Registers an OIDC client with a secret, a confidential one.
    pub async fn client(&self, key: &str, algorithm: IdTokenAlgorithm) -> Result<oidc::Client, Failure> {
        let (now, random) = (now(), &mut SystemRandom);
        let store = self.store().await?;
        let mut write = store.write().await?;
        let mut app = apps::find(&mut write, &APP.parse()?).await?.ok_or("the app is not there")?;
        (app.key, app.origins) = (key.parse()?, vec![format!("https://{key}.company.com").parse()?]);
        (app.access, app.id_token_alg) = (Access::Everyone, algorithm);
        app.redirect_uris = vec![oidc::REDIRECT_URI.parse()?];
        apps::upsert(&mut write, &app, now).await?;
        let secret = Secret::<SecretKey>::mint(random);
        let id = SecretId::mint(random);
        let row = AppSecret {
            id,
            app: app.key,
            digest: secret.digest(),
            created_at: now,
            expires_at: None,
            last_used_at: None,
        };
        apps::add_secret(&mut write, &row, now).await?;
        write.commit().await?;
        store.close().await;
        Ok(oidc::Client::new(key, &secret.expose()))
    }

    async fn furnish(&mut self) -> Result<(), Failure> {
        let (now, random) = (now(), &mut SystemRandom);
        let store = self.store().await?;
        let mut write = store.write().await?;
        for (name, domain, alias) in [("two", "company2.com", Some(ALIAS)), ("three", "company3.com", None)] {
            let zone = Zone {
                name: name.parse()?,
                cookie_domain: domain.parse()?,
                cookie_name: CookieName::default(),
                home: false,
                alias: alias.map(|host| format!("https://{host}").parse()).transpose()?,
                bound: false,
                at_sign_in: false,
            };
            zones::upsert(&mut write, &zone, now).await?;
        }
        let apps = [
            (APP, "home", APP_HOST),
            ("cashier", "home", "cashier.company.com"),
            ("shop", "two", "shop.company2.com"),
            ("till", "three", TILL),
        ];
        for (key, zone, host) in apps {
            let app = App {
                origins: vec![format!("https://{host}").parse()?],
                access: if zone == "home" { Access::Assigned } else { Access::Everyone },
                agent: zone == "three",
                ..App::new(key.parse()?, key, zone.parse()?)
            };
            apps::upsert(&mut write, &app, now).await?;
            let secret = Secret::<SecretKey>::mint(random);
            let id = SecretId::mint(random);
            let row = AppSecret {
                id,
                app: app.key,
                digest: secret.digest(),
                created_at: now,
                expires_at: None,
                last_used_at: None,
            };
            apps::add_secret(&mut write, &row, now).await?;
            let authorization = format!("Basic {}", STANDARD.encode(format!("{key}:{}", *secret.expose())));
            match key {
                APP => self.authorization = authorization,
                "till" => self.agent_authorization = authorization,
                _ => {}
            }
        }
        let mut by_group = Vec::new();
        for (number, (name, app, permissions)) in ROLES.into_iter().enumerate() {
            let permissions = permissions.iter().map(|permission| permission.parse()).collect::<Result<_, _>>()?;
            let role = Role { id: RoleId::mint(random), app: app.parse()?, name: name.parse()?, permissions };
            roles::upsert(&mut write, &role, now).await?;
            if number < 2 {
                by_group.push(role.id);
            }
        }
        for number in 0..GROUPS {
            let group =
                Group { id: GroupId::mint(random), name: format!("store-{number:02}").parse()?, created_at: now };
            groups::add(&mut write, &group).await?;
            for role in &by_group {
                roles::assign(&mut write, role, Holder::Group(group.id), now).await?;
            }
        }
        write.commit().await?;
        store.close().await;
        Ok(())
    }

    async fn store(&self) -> Result<Store, Failure> {
        Ok(Store::open(&self.url.parse()?).await?)
    }
}

/// The user name of user `number`: eight characters.
pub fn username(number: usize) -> String {
    format!("u{number:07}")
}

/// The identifier of user `number`.
pub fn user_id(number: usize) -> UserId {
    UserId::from_bytes(bytes(1, number))
}

/// The identifier of session `number`, which is user `number`'s.
pub fn session_id(number: usize) -> SessionId {
    SessionId::from_bytes(bytes(2, number))
}

fn person(number: usize) -> Result<User, Failure> {
    Ok(User {
        id: user_id(number),
        username: username(number).parse()?,
        display_name: format!("Person {number:07}").parse()?,
        email: None,
        attributes: BTreeMap::from([("employee_number".to_owned(), format!("{number:07}").into())]),
        disabled_at: None,
        must_change_password: false,
        created_at: now(),
    })
}

fn signed_in(number: usize) -> NewSession {
    let now = now();
    let mut secret = [0; 32];
    secret[..16].copy_from_slice(&bytes(3, number));
    secret[16..].copy_from_slice(&bytes(4, number));
    let session = Session {
        id: session_id(number),
        user_id: user_id(number),
        acr: Acr::Aal1,
        amr: vec![Amr::Pwd],
        authenticated_at: now,
        created_at: now,
        last_seen_at: now,
        expires_at: now + Duration::from_hours(24),
        inactivity: Duration::from_hours(8),
        persistent: false,
        ended: None,
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0".to_owned(),
        ip: "192.0.2.1".to_owned(),
    };
    NewSession { session, secret: Digest::from_bytes(secret), device: None }
}

/// Sixteen bytes, the same in every run. The first one is evenly spread, as it is in real identifiers: the engine divides its tables by
/// it. The next ones count, unlike real ones, so that a million rows are stored in minutes: neighbours lie beside each other in every index.
fn bytes(kind: u64, number: usize) -> [u8; 16] {
    let mut state = kind << 48 ^ number as u64;
    let mut bytes = [0; 16];
    bytes[1..9].copy_from_slice(&number.to_be_bytes());
    bytes[0] = bytes[8];
    bytes[9..].copy_from_slice(&random(&mut state).to_be_bytes()[1..]);
    bytes
}
