//! What people have allowed apps of others to learn about them and to call in their name: rows of `consents`. Protocol §11, OIDC Core 1.0 §3.1.2.4.

use hallpass_core::id::{AppKey, UserId};
use hallpass_core::oidc::{Consent, Resources, Scope};
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::{Row, sql};
use crate::{Read, Write};

/// What a person has allowed an app.
pub async fn find(read: &mut Read, user: &UserId, app: &AppKey) -> Result<Option<Consent>, StoreError> {
    let find = sql("SELECT scope, resources, granted_at FROM consents WHERE user_id = $1 AND app_key = $2");
    read.optional(find.bind(user).bind(app)).await?.as_ref().map(consent).transpose()
}

/// Everything that a person has allowed, by app.
pub async fn of_user(read: &mut Read, user: &UserId) -> Result<Vec<(AppKey, Consent)>, StoreError> {
    let all = sql("SELECT app_key, scope, resources, granted_at FROM consents WHERE user_id = $1 ORDER BY app_key");
    read.all(all.bind(user)).await?.iter().map(|row| Ok((row.column("app_key")?, consent(row)?))).collect()
}

/// What a person has allowed an app, kept from being taken back until this transaction is over: whoever takes it back next sees the tokens that are
/// made meanwhile, and ends them.
pub async fn hold(write: &mut Write, user: &UserId, app: &AppKey) -> Result<Option<Consent>, StoreError> {
    let hold = sql("SELECT scope, resources, granted_at FROM consents WHERE user_id = $1 AND app_key = $2");
    write.held(hold.bind(user).bind(app)).await?.as_ref().map(consent).transpose()
}

/// Allows an app this much, besides what it was allowed before.
pub async fn give(
    write: &mut Write,
    user: &UserId,
    app: &AppKey,
    scope: Scope,
    resources: &Resources,
    now: Timestamp,
) -> Result<(), StoreError> {
    let before = hold(write, user, app).await?;
    let (scope, resources) = match &before {
        Some(before) => (before.scope.with(scope), before.resources.with(resources)),
        None => (scope, resources.clone()),
    };
    let give = sql("INSERT INTO consents (user_id, app_key, scope, resources, granted_at) VALUES ($1, $2, $3, $4, $5)
                    ON CONFLICT (user_id, app_key) DO UPDATE SET scope = excluded.scope, resources = excluded.resources,
                        granted_at = excluded.granted_at");
    write.execute(give.bind(user).bind(app).bind(&scope).bind(&resources).bind(&now)).await.map(drop)
}

/// Takes back what a person has allowed an app, and ends every token family that the app has for them. `false` when nothing was allowed.
pub async fn revoke(write: &mut Write, user: &UserId, app: &AppKey, now: Timestamp) -> Result<bool, StoreError> {
    let delete = sql("DELETE FROM consents WHERE user_id = $1 AND app_key = $2");
    if write.execute(delete.bind(user).bind(app)).await? == 0 {
        return Ok(false);
    }
    // A statement of its own, after the one that waited for those who `hold` it: PostgreSQL looks at other tables as they were when a statement began.
    let revoke = sql("UPDATE token_families SET revoked_at = $3, answer = NULL
                      WHERE app_key = $2 AND revoked_at IS NULL
                          AND session_id IN (SELECT id FROM sessions WHERE user_id = $1)");
    write.execute(revoke.bind(user).bind(app).bind(&now)).await?;
    Ok(true)
}

/// Takes back what anybody has allowed an app, and ends every token family of it: it is not what they were shown any more.
pub async fn revoke_all(write: &mut Write, app: &AppKey, now: Timestamp) -> Result<(), StoreError> {
    write.execute(sql("DELETE FROM consents WHERE app_key = $1").bind(app)).await?;
    // A statement of its own, as in `revoke`.
    let revoke =
        sql("UPDATE token_families SET revoked_at = $2, answer = NULL WHERE app_key = $1 AND revoked_at IS NULL");
    write.execute(revoke.bind(app).bind(&now)).await.map(drop)
}

fn consent(row: &Row) -> Result<Consent, StoreError> {
    Ok(Consent {
        scope: row.column("scope")?,
        resources: row.column("resources")?,
        given_at: row.column("granted_at")?,
    })
}
