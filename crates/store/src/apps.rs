//! Apps with their origins and audiences, and their secrets (digests). Protocol §4.

use std::collections::BTreeMap;

use hallpass_core::app::{App, AppSecret};
use hallpass_core::id::{AppKey, SecretId};
use hallpass_core::oidc::{ClientSettings, RedirectUri, Resources};
use hallpass_core::secret::{Digest, SecretKey};
use hallpass_core::time::Timestamp;

use crate::columns::{from_word, word};
use crate::error::StoreError;
use crate::sql::{Row, Statement, composed_sql, sql};
use crate::{Change, Read, Write};

/// How many secrets of one app may be live at once: the one in use and the one it is being replaced by.
pub const LIVE_SECRETS: i64 = 2;

/// Adds an app or gives the one of this key its new properties, origins and audiences. Dangling when its zone is not there.
pub async fn upsert(write: &mut Write, app: &App, now: Timestamp) -> Result<(), StoreError> {
    let known = write.optional(sql("SELECT slot FROM apps WHERE key = $1").bind(&app.key)).await?;
    let slot: i64 = match known {
        Some(row) => row.column("slot")?,
        None => write
            .one(sql("UPDATE app_slots SET next = next + 1 WHERE id = 1 RETURNING next - 1 AS slot"))
            .await?
            .column("slot")?,
    };
    let upsert =
        sql("INSERT INTO apps (key, name, zone, access, first_contact, sensitive, relayed_sign_in, agent, assertion,
                          id_token_alg, disabled_at, slot, client_credentials, device, third_party, client,
                          refresh_cookie, offline_access, require_pushed, initiate_login_uri, forward_auth, jwks,
                          subject_type, sector_identifier, registered, require_dpop, claims_in_id_token, client_id,
                          open_to_third_parties)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                          $22, $23, $24, $25, $26, $27, $28, $29)
                      ON CONFLICT (key) DO UPDATE SET name = excluded.name, zone = excluded.zone,
                          access = excluded.access, first_contact = excluded.first_contact,
                          sensitive = excluded.sensitive, relayed_sign_in = excluded.relayed_sign_in,
                          agent = excluded.agent, assertion = excluded.assertion,
                          id_token_alg = excluded.id_token_alg, disabled_at = excluded.disabled_at,
                          client_credentials = excluded.client_credentials, device = excluded.device,
                          third_party = excluded.third_party, client = excluded.client,
                          refresh_cookie = excluded.refresh_cookie, offline_access = excluded.offline_access,
                          require_pushed = excluded.require_pushed, jwks = excluded.jwks,
                          initiate_login_uri = excluded.initiate_login_uri, forward_auth = excluded.forward_auth,
                          subject_type = excluded.subject_type, sector_identifier = excluded.sector_identifier,
                          registered = excluded.registered, require_dpop = excluded.require_dpop,
                          claims_in_id_token = excluded.claims_in_id_token,
                          client_id = excluded.client_id,
                          open_to_third_parties = excluded.open_to_third_parties");
    let upsert = upsert
        .bind(&app.key)
        .bind(&app.name)
        .bind(&app.zone)
        .bind(&word(&app.access)?)
        .bind(&word(&app.first_contact)?)
        .bind(&app.sensitive)
        .bind(&app.relayed_sign_in)
        .bind(&app.agent)
        .bind(&word(&app.assertion)?)
        .bind(&word(&app.id_token_alg)?)
        .bind(&app.disabled_at)
        .bind(&slot)
        .bind(&app.client_credentials)
        .bind(&app.device)
        .bind(&app.third_party)
        .bind(&word(&app.client.kind)?)
        .bind(&app.client.refresh_cookie)
        .bind(&app.client.offline_access)
        .bind(&app.client.require_pushed)
        .bind(&app.initiate_login_uri)
        .bind(&app.forward_auth)
        .bind(&app.jwks)
        .bind(&word(&app.client.subject_type)?)
        .bind(&app.client.sector_identifier)
        .bind(&app.registered)
        .bind(&app.client.require_dpop)
        .bind(&app.client.claims_in_id_token)
        .bind(&app.client_id)
        .bind(&app.open_to_third_parties.iter().cloned().collect::<Resources>());
    write.execute(upsert).await?;
    write.execute(sql("DELETE FROM app_origins WHERE app_key = $1").bind(&app.key)).await?;
    if !app.origins.is_empty() {
        let head = "INSERT INTO app_origins (app_key, rank, origin) VALUES ";
        let mut insert = crate::insert(head, app.origins.len(), 3, "");
        for (rank, origin) in (0i64..).zip(&app.origins) {
            insert = insert.bind(&app.key).bind(&rank).bind(origin);
        }
        write.execute(insert).await?;
    }
    write.execute(sql("DELETE FROM app_audiences WHERE app_key = $1").bind(&app.key)).await?;
    if !app.audiences.is_empty() {
        let head = "INSERT INTO app_audiences (app_key, audience) VALUES ";
        let tail = " ON CONFLICT (app_key, audience) DO NOTHING";
        let mut insert = crate::insert(head, app.audiences.len(), 2, tail);
        for audience in &app.audiences {
            insert = insert.bind(&app.key).bind(audience);
        }
        write.execute(insert).await?;
    }
    write.execute(sql("DELETE FROM app_logout_urls WHERE app_key = $1").bind(&app.key)).await?;
    if !app.logout_urls.is_empty() {
        let head = "INSERT INTO app_logout_urls (app_key, rank, url) VALUES ";
        let mut insert = crate::insert(head, app.logout_urls.len(), 3, "");
        for (rank, url) in (0i64..).zip(&app.logout_urls) {
            insert = insert.bind(&app.key).bind(&rank).bind(url);
        }
        write.execute(insert).await?;
    }
    for (table, uris) in [REDIRECT_URIS, POST_LOGOUT_REDIRECT_URIS].into_iter().zip(uris_of(app)) {
        write.execute(composed_sql(format!("DELETE FROM {table} WHERE app_key = $1")).bind(&app.key)).await?;
        if !uris.is_empty() {
            let head = format!("INSERT INTO {table} (app_key, rank, uri) VALUES ");
            let insert = crate::insert(&head, uris.len(), 3, "");
            let bind = |insert: Statement, (rank, uri)| insert.bind(&app.key).bind(&rank).bind(uri);
            write.execute((0i64..).zip(uris.iter()).fold(insert, bind)).await?;
        }
    }
    write.change(now, Change::PolicyChanged { app: Some(app.key.clone()) });
    Ok(())
}

/// By key. From a snapshot or a `Write`, so that app and origins fit together.
pub async fn find(read: &mut Read, key: &AppKey) -> Result<Option<App>, StoreError> {
    let find = sql(
        "SELECT key, name, zone, access, first_contact, sensitive, relayed_sign_in, agent, assertion, id_token_alg,
                        disabled_at, client_credentials, device, third_party, client, refresh_cookie,
                        offline_access, require_pushed, initiate_login_uri, forward_auth, jwks,
                        subject_type, sector_identifier, registered, require_dpop, claims_in_id_token, client_id,
                        open_to_third_parties
                    FROM apps WHERE key = $1",
    );
    let Some(row) = read.optional(find.bind(key)).await? else { return Ok(None) };
    let mut app = app(&row)?;
    let origins = sql("SELECT origin FROM app_origins WHERE app_key = $1 ORDER BY rank");
    for row in read.all(origins.bind(key)).await? {
        app.origins.push(row.column("origin")?);
    }
    let audiences = sql("SELECT audience FROM app_audiences WHERE app_key = $1 ORDER BY audience");
    for row in read.all(audiences.bind(key)).await? {
        app.audiences.push(row.column("audience")?);
    }
    let urls = sql("SELECT url FROM app_logout_urls WHERE app_key = $1 ORDER BY rank");
    for row in read.all(urls.bind(key)).await? {
        app.logout_urls.push(row.column("url")?);
    }
    for (table, uris) in [REDIRECT_URIS, POST_LOGOUT_REDIRECT_URIS].into_iter().zip(uris_of_mut(&mut app)) {
        let find = composed_sql(format!("SELECT uri FROM {table} WHERE app_key = $1 ORDER BY rank"));
        for row in read.all(find.bind(key)).await? {
            uris.push(row.column("uri")?);
        }
    }
    Ok(Some(app))
}

/// All of them, by key. Audiences come sorted, origins in their own order. From a snapshot or a `Write`.
pub async fn all(read: &mut Read) -> Result<Vec<App>, StoreError> {
    Ok(all_with_slots(read).await?.into_iter().map(|(app, _)| app).collect())
}

/// All of them with their slots (see [`Policy::apps`](crate::roles::Policy::apps)).
pub(crate) async fn all_with_slots(read: &mut Read) -> Result<Vec<(App, u32)>, StoreError> {
    let apps = sql(
        "SELECT key, name, zone, access, first_contact, sensitive, relayed_sign_in, agent, assertion, id_token_alg,
                disabled_at, slot, client_credentials, device, third_party, client, refresh_cookie,
                offline_access, require_pushed, initiate_login_uri, forward_auth, jwks,
                subject_type, sector_identifier, registered, require_dpop, claims_in_id_token, client_id,
                open_to_third_parties
             FROM apps",
    );
    let mut by_key = BTreeMap::new();
    for row in read.all(apps).await? {
        let app = app(&row)?;
        by_key.insert(app.key.clone(), (app, row.column("slot")?));
    }
    for row in read.all(sql("SELECT app_key, origin FROM app_origins ORDER BY app_key, rank")).await? {
        if let Some((app, _)) = by_key.get_mut(&row.column::<AppKey>("app_key")?) {
            app.origins.push(row.column("origin")?);
        }
    }
    for row in read.all(sql("SELECT app_key, audience FROM app_audiences ORDER BY app_key, audience")).await? {
        if let Some((app, _)) = by_key.get_mut(&row.column::<AppKey>("app_key")?) {
            app.audiences.push(row.column("audience")?);
        }
    }
    for row in read.all(sql("SELECT app_key, url FROM app_logout_urls ORDER BY app_key, rank")).await? {
        if let Some((app, _)) = by_key.get_mut(&row.column::<AppKey>("app_key")?) {
            app.logout_urls.push(row.column("url")?);
        }
    }
    for (index, table) in [REDIRECT_URIS, POST_LOGOUT_REDIRECT_URIS].into_iter().enumerate() {
        let all = composed_sql(format!("SELECT app_key, uri FROM {table} ORDER BY app_key, rank"));
        for row in read.all(all).await? {
            if let Some((app, _)) = by_key.get_mut(&row.column::<AppKey>("app_key")?) {
                uris_of_mut(app)[index].push(row.column("uri")?);
            }
        }
    }
    Ok(by_key.into_values().collect())
}

/// Removes an app with its secrets, roles and assignments. Whether there was one.
pub async fn remove(write: &mut Write, key: &AppKey, now: Timestamp) -> Result<bool, StoreError> {
    let removed = write.execute(sql("DELETE FROM apps WHERE key = $1").long().bind(key)).await? > 0;
    if removed {
        write.change(now, Change::PolicyChanged { app: Some(key.clone()) });
    }
    Ok(removed)
}

/// Keeps an app as it is until this transaction is over. Whether it is there.
pub async fn hold(write: &mut Write, key: &AppKey) -> Result<bool, StoreError> {
    Ok(write.held(sql("SELECT key FROM apps WHERE key = $1").bind(key)).await?.is_some())
}

/// Adds a secret. `false`, and nothing is added, when the app has [`LIVE_SECRETS`] live ones already, or is not there.
pub async fn add_secret(write: &mut Write, secret: &AppSecret, now: Timestamp) -> Result<bool, StoreError> {
    // Holds the app's row until commit: two that add at once must not count the same secrets.
    if !hold(write, &secret.app).await? {
        return Ok(false);
    }
    let live = sql("SELECT COUNT(*) AS live FROM app_secrets
                    WHERE app_key = $1 AND (expires_at IS NULL OR expires_at > $2)");
    let live: i64 = write.one(live.bind(&secret.app).bind(&now)).await?.column("live")?;
    if live >= LIVE_SECRETS {
        return Ok(false);
    }
    let add = sql("INSERT INTO app_secrets (id, app_key, digest, created_at, expires_at, last_used_at)
                   VALUES ($1, $2, $3, $4, $5, $6)");
    let add = add
        .bind(&secret.id)
        .bind(&secret.app)
        .bind(&secret.digest)
        .bind(&secret.created_at)
        .bind(&secret.expires_at)
        .bind(&secret.last_used_at);
    write.execute(add).await?;
    write.change(now, Change::PolicyChanged { app: Some(secret.app.clone()) });
    Ok(true)
}

/// Every secret of one app, oldest first, expired ones too.
pub async fn secrets_of(read: &mut Read, app: &AppKey) -> Result<Vec<AppSecret>, StoreError> {
    let secrets = sql("SELECT id, app_key, digest, created_at, expires_at, last_used_at FROM app_secrets
                       WHERE app_key = $1 ORDER BY created_at, id");
    read.all(secrets.bind(app)).await?.iter().map(secret).collect()
}

/// Every secret of every app.
pub async fn all_secrets(read: &mut Read) -> Result<Vec<AppSecret>, StoreError> {
    let secrets = sql("SELECT id, app_key, digest, created_at, expires_at, last_used_at FROM app_secrets
                       ORDER BY app_key, created_at, id");
    read.all(secrets).await?.iter().map(secret).collect()
}

/// The secret a caller presented, if any app has it. Expired ones too: look at `expires_at`.
pub async fn by_secret(read: &mut Read, digest: &Digest<SecretKey>) -> Result<Option<AppSecret>, StoreError> {
    let find =
        sql("SELECT id, app_key, digest, created_at, expires_at, last_used_at FROM app_secrets WHERE digest = $1");
    read.optional(find.bind(digest)).await?.as_ref().map(secret).transpose()
}

/// Refuses a secret from `expires_at` on; never later than it would have been refused anyway. Whether that changed anything.
pub async fn expire_secret(
    write: &mut Write,
    id: &SecretId,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let expire = sql("UPDATE app_secrets SET expires_at = $2 WHERE id = $1 AND (expires_at IS NULL OR expires_at > $2)
                      RETURNING app_key");
    changed_secret(write, expire.bind(id).bind(&expires_at), now).await
}

/// Removes a secret. Whether there was one.
pub async fn remove_secret(write: &mut Write, id: &SecretId, now: Timestamp) -> Result<bool, StoreError> {
    let remove = sql("DELETE FROM app_secrets WHERE id = $1 RETURNING app_key");
    changed_secret(write, remove.bind(id), now).await
}

/// Writes down when secrets were last used: evidence that an old one may go. Never moves a time back.
pub async fn record_use(write: &mut Write, uses: &[(SecretId, Timestamp)]) -> Result<(), StoreError> {
    // In the same order everywhere, so that two nodes that write the same rows wait for each other and do not deadlock.
    let mut uses = uses.to_vec();
    uses.sort_unstable();
    for (id, at) in uses {
        let record = sql("UPDATE app_secrets SET last_used_at = $2
                          WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)");
        write.execute(record.bind(&id).bind(&at)).await?;
    }
    Ok(())
}

async fn changed_secret(write: &mut Write, statement: Statement, now: Timestamp) -> Result<bool, StoreError> {
    let Some(row) = write.optional(statement).await? else { return Ok(false) };
    write.change(now, Change::PolicyChanged { app: Some(row.column("app_key")?) });
    Ok(true)
}

const REDIRECT_URIS: &str = "app_redirect_uris";
const POST_LOGOUT_REDIRECT_URIS: &str = "app_post_logout_redirect_uris";

/// In the order of those two.
fn uris_of(app: &App) -> [&[RedirectUri]; 2] {
    [&app.redirect_uris, &app.post_logout_redirect_uris]
}

fn uris_of_mut(app: &mut App) -> [&mut Vec<RedirectUri>; 2] {
    [&mut app.redirect_uris, &mut app.post_logout_redirect_uris]
}

/// Without origins and audiences, which are rows of their own.
fn app(row: &Row) -> Result<App, StoreError> {
    Ok(App {
        key: row.column("key")?,
        client_id: row.optional("client_id")?,
        name: row.column("name")?,
        zone: row.column("zone")?,
        origins: Vec::new(),
        access: from_word(row.text("access")?.unwrap_or_default())?,
        first_contact: from_word(row.text("first_contact")?.unwrap_or_default())?,
        sensitive: row.column("sensitive")?,
        relayed_sign_in: row.column("relayed_sign_in")?,
        client_credentials: row.column("client_credentials")?,
        device: row.column("device")?,
        agent: row.column("agent")?,
        assertion: from_word(row.text("assertion")?.unwrap_or_default())?,
        client: ClientSettings {
            kind: from_word(row.text("client")?.unwrap_or_default())?,
            refresh_cookie: row.column("refresh_cookie")?,
            offline_access: row.column("offline_access")?,
            require_pushed: row.column("require_pushed")?,
            subject_type: from_word(row.text("subject_type")?.unwrap_or_default())?,
            sector_identifier: row.optional("sector_identifier")?,
            require_dpop: row.column("require_dpop")?,
            claims_in_id_token: row.column("claims_in_id_token")?,
        },
        audiences: Vec::new(),
        open_to_third_parties: row.column::<Resources>("open_to_third_parties")?.iter().cloned().collect(),
        logout_urls: Vec::new(),
        redirect_uris: Vec::new(),
        post_logout_redirect_uris: Vec::new(),
        id_token_alg: from_word(row.text("id_token_alg")?.unwrap_or_default())?,
        third_party: row.column("third_party")?,
        forward_auth: row.column("forward_auth")?,
        registered: row.column("registered")?,
        initiate_login_uri: row.optional("initiate_login_uri")?,
        jwks: row.optional("jwks")?,
        disabled_at: row.optional("disabled_at")?,
    })
}

fn secret(row: &Row) -> Result<AppSecret, StoreError> {
    Ok(AppSecret {
        id: row.column("id")?,
        app: row.column("app_key")?,
        digest: row.column("digest")?,
        created_at: row.column("created_at")?,
        expires_at: row.optional("expires_at")?,
        last_used_at: row.optional("last_used_at")?,
    })
}
