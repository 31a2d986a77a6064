//! `hallpass app`: registered apps and their secrets.

use clap::{Args, Subcommand, ValueEnum};
use hallpass_core::app::{Access, App, AppSecret, Assertion, FirstContact, Origin};
use hallpass_core::id::{AppKey, Audience, ZoneName};
use hallpass_core::logout::LogoutUrl;
use hallpass_core::oidc::{
    ClientKeys, ClientKind, ClientSettings, IdTokenAlgorithm, RedirectUri, SectorIdentifier, SubjectType,
};
use hallpass_core::time::Timestamp;
use hallpass_server::admin::apps::{self as verbs, Minted};
use hallpass_server::admin::{AdminError, ago};
use hallpass_store::{Read, Store, apps, roles, zones};
use serde_json::{Value, json};

use crate::client;
use crate::print::{Listing, counted, done, facts, instant, joined, maybe};
use crate::secret_file::SecretFile;
use crate::shell::{ACTOR, Failure, Shell};

/// What can be done with apps.
#[derive(Subcommand)]
pub enum Verb {
    /// Register an app and make its first secret key
    Add(Box<Add>),
    /// List apps
    List,
    /// Show one app; with --oidc, what to paste into a program that signs people in by OIDC
    Show(Show),
    /// Remove an app with its secrets, its roles and everything assigned in it
    Remove(Key),
    /// Stop answering an app
    Disable(Key),
    /// Answer a disabled app again
    Enable(Key),
    /// Make the next secret key beside the one in use; then, when every instance has it, --finish
    RotateSecret(Rotate),
    /// List an app's secrets and when they were last used; never the secrets themselves
    Secrets(Key),
}

/// One app.
#[derive(Args)]
pub struct Key {
    /// The app's key
    app: AppKey,
}

/// What `app show` takes.
#[derive(Args)]
pub struct Show {
    /// The app's key
    app: AppKey,
    /// Show it as an OIDC client: issuer, addresses, scopes
    #[arg(long)]
    oidc: bool,
}

/// What `app add` takes.
#[derive(Args)]
pub struct Add {
    /// The app's key: `pos`
    app: AppKey,
    /// What people read
    #[arg(long)]
    name: Option<String>,
    /// Where it is reached: `https://pos.company.com`; may be repeated, the first is its front door
    #[arg(long = "origin", required_unless_present = "redirect_uris", value_name = "ORIGIN")]
    origins: Vec<Origin>,
    /// Its zone; the home zone if not given
    #[arg(long)]
    zone: Option<ZoneName>,
    /// Let in everybody who is signed in, not only those who hold a role or a permission in it
    #[arg(long)]
    everyone: bool,
    /// Confirm the first pass of a browser with the home session, by one redirect
    #[arg(long)]
    confirm_first_contact: bool,
    /// Never cache answers about it
    #[arg(long)]
    sensitive: bool,
    /// It may take passwords of its users and relay them
    #[arg(long)]
    relayed_sign_in: bool,
    /// A gateway in front of it asks who its visitors are, by /forward-auth
    #[arg(long)]
    forward_auth: bool,
    /// Its SDK serves /.sso/*: it fetches passes by handoffs of its own
    #[arg(long)]
    agent: bool,
    /// A service that it may call, for which it may have a request token; may be repeated
    #[arg(long = "audience", value_name = "AUDIENCE")]
    audiences: Vec<Audience>,
    /// An address by which apps that register or describe themselves may ask people for tokens for it; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    open_to_third_parties: Vec<Audience>,
    /// It may have tokens in its own name for those services, without anybody being there
    #[arg(long, requires = "audiences")]
    client_credentials: bool,
    /// People may allow it on a device without a browser
    #[arg(long)]
    device: bool,
    /// Where it hears that a session has ended (OIDC Back-Channel Logout); may be repeated
    #[arg(long = "logout-url", value_name = "URL")]
    logout_urls: Vec<LogoutUrl>,
    /// Where OIDC sends its codes: makes the app an OIDC client; may be repeated
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<RedirectUri>,
    /// Where a browser may go after a sign-out that the app asked for by OIDC; may be repeated
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    post_logout_redirect_uris: Vec<RedirectUri>,
    /// Where a sign-in at an OIDC client begins, for whoever comes from the start page (OIDC Core, third-party initiated login)
    #[arg(long, value_name = "URI", requires = "redirect_uris")]
    initiate_login_uri: Option<RedirectUri>,
    /// What an OIDC client's ID tokens and logout tokens are signed with: `RS256` or `EdDSA`
    #[arg(long, value_name = "ALGORITHM", default_value_t)]
    id_token_alg: IdTokenAlgorithm,
    /// It is somebody else's: people are asked before it learns anything about them by OIDC
    #[arg(long)]
    third_party: bool,
    /// Its public keys, a JWK set as JSON: it signs assertions in place of showing a secret (`private_key_jwt`)
    #[arg(long, value_name = "JSON")]
    jwks: Option<ClientKeys>,
    /// What it is as an OIDC client: a server with a secret, a page with scripts, or a program on people's own computers
    #[arg(long, value_enum, default_value_t)]
    client: Client,
    /// A page with scripts takes its refresh tokens in its own hands instead of in a cookie
    #[arg(long)]
    no_refresh_cookie: bool,
    /// People may stay signed in to it when their session is over, if it asks for offline access by OIDC
    #[arg(long)]
    offline_access: bool,
    /// It has to push its authorization requests to the server before it sends a browser (OAuth PAR)
    #[arg(long)]
    require_pushed_authorization_requests: bool,
    /// What it knows people as by OIDC: `public`, their own id, or `pairwise`, one that no other app knows
    #[arg(long, value_name = "TYPE", default_value_t)]
    subject_type: SubjectType,
    /// With pairwise subjects, the host whose apps know people by the same names
    #[arg(long, value_name = "HOST")]
    sector_identifier: Option<SectorIdentifier>,
    /// All tokens that it gets by OIDC are bound to a key of its own (RFC 9449)
    #[arg(long)]
    require_dpop: bool,
    /// Its ID tokens say what its scope brings, too: for programs that never ask the userinfo endpoint
    #[arg(long)]
    claims_in_id_token: bool,
    #[command(flatten)]
    file: SecretFile,
}

/// The kinds of OIDC clients, as they are typed.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Client {
    #[default]
    Confidential,
    Browser,
    Native,
}

impl From<Client> for ClientKind {
    fn from(client: Client) -> Self {
        match client {
            Client::Confidential => Self::Confidential,
            Client::Browser => Self::Browser,
            Client::Native => Self::Native,
        }
    }
}

/// What `app rotate-secret` takes.
#[derive(Args)]
pub struct Rotate {
    /// The app's key
    app: AppKey,
    /// Remove the old secret; refused while it is in use or the new one has not been used
    #[arg(long)]
    finish: bool,
    /// Finish whatever the evidence says
    #[arg(long, requires = "finish")]
    force: bool,
    #[command(flatten)]
    file: SecretFile,
}

/// Runs it.
pub async fn run(verb: Verb, shell: &Shell) -> Result<(), Failure> {
    match verb {
        Verb::Add(add) => shell.with_store(async |store| register(store, *add, shell).await).await,
        Verb::List => shell.with_store(async |store| list(store, shell).await).await,
        Verb::Show(asked) => shell.with_store(async |store| show(store, &asked, shell).await).await,
        Verb::Remove(Key { app }) => shell.with_store(async |store| {
            let mut write = store.write().await?;
            verbs::remove(&mut write, &app, &ACTOR, shell.now).await?;
            write.commit().await?;
            Ok(done(shell.json, format!("Removed app {app}."), &json!({ "removed": app }))?)
        }).await,
        Verb::Disable(Key { app }) => set_disabled(&app, true, shell).await,
        Verb::Enable(Key { app }) => set_disabled(&app, false, shell).await,
        Verb::RotateSecret(rotate) if rotate.finish => finish(&rotate, shell).await,
        Verb::RotateSecret(rotate) => shell.with_store(async |store| {
            let mut write = store.write().await?;
            let had = verbs::live_secrets(&mut write, &rotate.app, shell.now).await?.len();
            let minted = verbs::mint_secret(&mut write, &rotate.app, &ACTOR, shell.now).await?;
            let file = rotate.file.create(minted.secret.expose().as_str())?;
            write.commit().await?;
            file.keep();
            let key = &rotate.app;
            let sentence = if had == 0 {
                format!("Made a secret key for app {key}.")
            } else {
                format!("Made a new secret key for app {key}. The old one works until `hallpass app rotate-secret {key} --finish`.")
            };
            show_secret(&sentence, key, &minted, &rotate.file, json!({}), shell)
        }).await,
        Verb::Secrets(Key { app }) => shell.with_store(async |store| {
            let mut read = store.snapshot().await?;
            verbs::find(&mut read, &app).await?;
            let mut listing = Listing::new(shell.json, &["SECRET", "MADE", "LAST USED", "STATE"]);
            for secret in apps::secrets_of(&mut read, &app).await? {
                let used = secret.last_used_at.map_or_else(|| "never".to_owned(), |at| ago(at, shell.now));
                let cells = vec![secret.id.to_string(), instant(secret.created_at), used, state(&secret, shell.now)];
                listing.row(&cells, &secret_object(&secret))?;
            }
            Ok(listing.end(&format!("App {app} has no secret; `hallpass app rotate-secret {app}` makes one."))?)
        }).await,
    }
}

async fn register(store: &Store, add: Add, shell: &Shell) -> Result<(), Failure> {
    let mut write = store.write().await?;
    let app = App {
        name: add.name.unwrap_or_else(|| add.app.to_string()),
        zone: match add.zone {
            Some(zone) => zone,
            None => home_zone(&mut write).await?,
        },
        key: add.app,
        client_id: None,
        origins: add.origins,
        access: if add.everyone { Access::Everyone } else { Access::Assigned },
        first_contact: if add.confirm_first_contact { FirstContact::Confirm } else { FirstContact::Trust },
        sensitive: add.sensitive,
        relayed_sign_in: add.relayed_sign_in,
        registered: false,
        forward_auth: add.forward_auth,
        agent: add.agent,
        assertion: Assertion::None,
        client: ClientSettings {
            kind: add.client.into(),
            refresh_cookie: !add.no_refresh_cookie,
            offline_access: add.offline_access,
            require_pushed: add.require_pushed_authorization_requests,
            subject_type: add.subject_type,
            sector_identifier: add.sector_identifier,
            require_dpop: add.require_dpop,
            claims_in_id_token: add.claims_in_id_token,
        },
        audiences: add.audiences,
        open_to_third_parties: add.open_to_third_parties,
        client_credentials: add.client_credentials,
        device: add.device,
        logout_urls: add.logout_urls,
        redirect_uris: add.redirect_uris,
        post_logout_redirect_uris: add.post_logout_redirect_uris,
        initiate_login_uri: add.initiate_login_uri,
        id_token_alg: add.id_token_alg,
        third_party: add.third_party,
        jwks: add.jwks,
        disabled_at: None,
    };
    verbs::add(&mut write, &app, &ACTOR, shell.now).await?;
    let sentence = format!("Added app {}, zone {}, {}.", app.key, app.zone, joined(&app.origins));
    if app.client.kind.is_public() && add.file.path().is_none() {
        write.commit().await?;
        let text = format!(
            "{sentence}\nA {} client has no secret. If it has a backend that introspects, `hallpass app rotate-secret {}` makes one for that.",
            app.client.kind.as_str(),
            app.key
        );
        return Ok(done(shell.json, text, &object(&app))?);
    }
    let minted = verbs::mint_secret(&mut write, &app.key, &ACTOR, shell.now).await?;
    let file = add.file.create(minted.secret.expose().as_str())?;
    write.commit().await?;
    file.keep();
    show_secret(&sentence, &app.key, &minted, &add.file, object(&app), shell)
}

async fn home_zone(read: &mut Read) -> Result<ZoneName, Failure> {
    let home = zones::all(read).await?.into_iter().find(|zone| zone.home);
    Ok(home.map(|zone| zone.name).ok_or_else(|| {
        AdminError::NotFound(
            "there is no home zone yet; `hallpass zone add home --cookie-domain company.com --home` adds it".to_owned(),
        )
    })?)
}

/// The only place that prints an app's secret, once, right after it was made.
fn show_secret(
    sentence: &str,
    key: &AppKey,
    minted: &Minted,
    file: &SecretFile,
    mut object: Value,
    shell: &Shell,
) -> Result<(), Failure> {
    object["app_key"] = json!(key);
    object["secret_id"] = json!(minted.id);
    let text = if let Some(path) = file.path() {
        object["secret_file"] = json!(path);
        format!(
            "{sentence}\nIts secret key is in {}, readable by you alone. Move it to where {key} reads it.",
            path.display()
        )
    } else {
        let secret = minted.secret.expose();
        object["secret_key"] = json!(secret.as_str());
        format!(
            "{sentence}\n\n  app key     {key}\n  secret key  {}\n\nThe secret key is shown this once. Store it where {key} reads it (HALLPASS_SECRET_KEY), never in its source.",
            secret.as_str()
        )
    };
    Ok(done(shell.json, text, &object)?)
}

async fn list(store: &Store, shell: &Shell) -> Result<(), Failure> {
    let mut listing = Listing::new(shell.json, &["APP", "NAME", "ZONE", "ACCESS", "FRONT DOOR", "STATE"]);
    for app in apps::all(&mut store.snapshot().await?).await? {
        let cells = vec![
            app.key.to_string(),
            app.name.clone(),
            app.zone.to_string(),
            word(&app.access),
            match (app.origins.first(), &app.client_id) {
                (Some(origin), _) => origin.to_string(),
                (None, Some(document)) => document.to_string(),
                (None, None) => "-".to_owned(),
            },
            match (app.disabled_at.is_some(), app.client_id.is_some(), app.registered) {
                (true, _, _) => "disabled",
                (false, true, _) => "enabled, describes itself",
                (false, false, true) => "enabled, registered itself",
                (false, false, false) => "enabled",
            }
            .to_owned(),
        ];
        listing.row(&cells, &object(&app))?;
    }
    Ok(listing.end("There are no apps yet; `hallpass app add` registers one.")?)
}

async fn show(store: &Store, Show { app: key, oidc }: &Show, shell: &Shell) -> Result<(), Failure> {
    let mut read = store.snapshot().await?;
    let app = verbs::find(&mut read, key).await?;
    if *oidc {
        return client::show(&app, shell);
    }
    let secrets = apps::secrets_of(&mut read, key).await?;
    let mut roles = roles::all(&mut read).await?;
    roles.retain(|role| role.app == *key);
    if shell.json {
        let mut object = object(&app);
        object["secrets"] = secrets.iter().map(secret_object).collect();
        object["roles"] =
            roles.iter().map(|role| json!({ "name": role.name, "permissions": role.permissions })).collect();
        return Ok(done(true, "", &object)?);
    }
    let mut shown = vec![
        ("app key", app.key.to_string()),
        ("client ID", app.client_id().to_owned()),
        ("name", app.name.clone()),
        ("zone", app.zone.to_string()),
        ("origins", joined(&app.origins)),
        ("access", word(&app.access)),
        ("first contact", word(&app.first_contact)),
        ("sensitive", word(&app.sensitive)),
        ("relayed sign-in", word(&app.relayed_sign_in)),
        ("registered itself", word(&app.registered)),
        ("forward auth", word(&app.forward_auth)),
        ("agent", word(&app.agent)),
        ("assertion", word(&app.assertion)),
        ("client", app.client.kind.as_str().to_owned()),
        ("refresh cookie", word(&app.client.keeps_refresh_cookie())),
        ("offline access", word(&app.client.offline_access)),
        ("must push requests", word(&app.client.require_pushed)),
        ("people known as", app.client.subject_type.to_string()),
        ("sector", app.client.sector_identifier.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)),
        ("DPoP required", word(&app.client.require_dpop)),
        ("claims in ID token", word(&app.client.claims_in_id_token)),
        ("audiences", joined(&app.audiences)),
        ("open to third parties", joined(&app.open_to_third_parties)),
        ("client credentials", word(&app.client_credentials)),
        ("device", word(&app.device)),
        ("redirect URIs", joined(&app.redirect_uris)),
        ("after sign-out", joined(&app.post_logout_redirect_uris)),
        ("sign-in begins", joined(&app.initiate_login_uri)),
        ("ID tokens", app.id_token_alg.to_string()),
        ("third party", word(&app.third_party)),
        ("keys", joined(app.jwks.iter().flat_map(ClientKeys::fingerprints))),
        (
            "state",
            app.disabled_at.map_or_else(|| "enabled".to_owned(), |at| format!("disabled {}", ago(at, shell.now))),
        ),
    ];
    for secret in &secrets {
        let used = secret
            .last_used_at
            .map_or_else(|| "never used".to_owned(), |at| format!("last used {}", ago(at, shell.now)));
        let made = ago(secret.created_at, shell.now);
        shown.push(("secret", format!("{}, made {made}, {used}, {}", secret.id, state(secret, shell.now))));
    }
    for role in &roles {
        shown.push(("role", format!("{}: {}", role.name, joined(&role.permissions))));
    }
    Ok(facts(&shown)?)
}

async fn set_disabled(app: &AppKey, disabled: bool, shell: &Shell) -> Result<(), Failure> {
    shell
        .with_store(async |store| {
            let mut write = store.write().await?;
            let changed = verbs::set_disabled(&mut write, app, disabled, &ACTOR, shell.now).await?;
            write.commit().await?;
            let state = if disabled { "disabled" } else { "enabled" };
            let sentence = format!("App {app} is {state}{}.", if changed { " now" } else { " already" });
            Ok(done(shell.json, sentence, &json!({ "changed": changed }))?)
        })
        .await
}

async fn finish(rotate: &Rotate, shell: &Shell) -> Result<(), Failure> {
    shell
        .with_store(async |store| {
            let mut write = store.write().await?;
            let gone = verbs::finish_rotation(&mut write, &rotate.app, rotate.force, &ACTOR, shell.now).await?;
            write.commit().await?;
            let sentence =
                format!("Removed {} of app {}; the newest one stays.", counted(gone.len(), "old secret"), rotate.app);
            let ids: Vec<_> = gone.iter().map(|secret| secret.id).collect();
            Ok(done(shell.json, sentence, &json!({ "app_key": rotate.app, "removed": ids }))?)
        })
        .await
}

fn state(secret: &AppSecret, now: Timestamp) -> String {
    match secret.expires_at {
        None => "live".to_owned(),
        Some(end) if end <= now => "refused".to_owned(),
        Some(end) => format!("until {}", instant(end)),
    }
}

fn secret_object(secret: &AppSecret) -> Value {
    json!({
        "id": secret.id,
        "app": secret.app,
        "created_at": instant(secret.created_at),
        "expires_at": maybe(secret.expires_at),
        "last_used_at": maybe(secret.last_used_at),
    })
}

fn object(app: &App) -> Value {
    json!({
        "app_key": app.key,
        "client_id": app.client_id(),
        "name": app.name,
        "zone": app.zone,
        "origins": app.origins,
        "access": app.access,
        "first_contact": app.first_contact,
        "sensitive": app.sensitive,
        "relayed_sign_in": app.relayed_sign_in,
        "registered": app.registered,
        "forward_auth": app.forward_auth,
        "agent": app.agent,
        "assertion": app.assertion,
        "client": app.client.kind,
        "refresh_cookie": app.client.keeps_refresh_cookie(),
        "offline_access": app.client.offline_access,
        "require_pushed_authorization_requests": app.client.require_pushed,
        "subject_type": app.client.subject_type,
        "sector_identifier": app.client.sector_identifier,
        "require_dpop": app.client.require_dpop,
        "claims_in_id_token": app.client.claims_in_id_token,
        "audiences": app.audiences,
        "open_to_third_parties": app.open_to_third_parties,
        "client_credentials": app.client_credentials,
        "device": app.device,
        "redirect_uris": app.redirect_uris,
        "post_logout_redirect_uris": app.post_logout_redirect_uris,
        "initiate_login_uri": app.initiate_login_uri,
        "id_token_alg": app.id_token_alg,
        "third_party": app.third_party,
        "jwks": app.jwks,
        "disabled_at": maybe(app.disabled_at),
    })
}

/// The text that is also used in files and JSON.
fn word(value: &impl serde::Serialize) -> String {
    match json!(value) {
        Value::String(text) => text,
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}
