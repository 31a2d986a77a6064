//! Clients that have registered themselves, by what they manage their registration with: rows of `app_registrations`. RFC 7592.

use hallpass_core::id::AppKey;
use hallpass_core::oidc::AuthMethod;
use hallpass_core::secret::{Digest, RegistrationToken};

use crate::columns::{from_word, word};
use crate::error::StoreError;
use crate::sql::sql;
use crate::{Read, Write};

/// Adds the registration of an app that was added a moment ago, in this transaction. `false`, and nothing is added, when there are `maximum` already: adding
/// an app is done by one at a time, so that two cannot both be the last.
pub async fn add(
    write: &mut Write,
    app: &AppKey,
    token: &Digest<RegistrationToken>,
    method: AuthMethod,
    maximum: u32,
) -> Result<bool, StoreError> {
    let there: i64 = write.one(sql("SELECT COUNT(*) AS there FROM app_registrations").long()).await?.column("there")?;
    if there >= i64::from(maximum) {
        return Ok(false);
    }
    let add = sql("INSERT INTO app_registrations (app_key, token, auth_method) VALUES ($1, $2, $3)");
    write.execute(add.bind(app).bind(token).bind(&word(&method)?)).await?;
    Ok(true)
}

/// Whose token it is, and how that client shows who it is.
pub async fn by_token(
    read: &mut Read,
    token: &Digest<RegistrationToken>,
) -> Result<Option<(AppKey, AuthMethod)>, StoreError> {
    let find = sql("SELECT app_key, auth_method FROM app_registrations WHERE token = $1");
    let Some(row) = read.optional(find.bind(token)).await? else { return Ok(None) };
    Ok(Some((row.column("app_key")?, from_word(row.text("auth_method")?.unwrap_or_default())?)))
}

/// Writes down how the client shows who it is from now on.
pub async fn set_method(write: &mut Write, app: &AppKey, method: AuthMethod) -> Result<(), StoreError> {
    let set = sql("UPDATE app_registrations SET auth_method = $2 WHERE app_key = $1");
    write.execute(set.bind(app).bind(&word(&method)?)).await.map(drop)
}
