//! Clients that describe themselves, by when their documents were read last: rows of `client_documents`. Somebody has allowed each of them, or had.
//! draft-ietf-oauth-client-id-metadata-document §4.4.

use hallpass_core::id::AppKey;
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::sql;
use crate::{Change, Read, Write};

/// Adds the document of an app that was added a moment ago, in this transaction. `false`, and nothing is added, when there are `maximum` already: adding
/// an app is done by one at a time, so that two cannot both be the last.
pub async fn add(write: &mut Write, app: &AppKey, maximum: u32, now: Timestamp) -> Result<bool, StoreError> {
    let there: i64 = write.one(sql("SELECT COUNT(*) AS there FROM client_documents").long()).await?.column("there")?;
    if there >= i64::from(maximum) {
        return Ok(false);
    }
    let add = sql("INSERT INTO client_documents (app_key, seen_at) VALUES ($1, $2)");
    write.execute(add.bind(app).bind(&now)).await?;
    Ok(true)
}

/// Writes down that the document was read. Never moves a time back. Whether there is such a client.
pub async fn seen(write: &mut Write, app: &AppKey, now: Timestamp) -> Result<bool, StoreError> {
    let seen =
        sql("UPDATE client_documents SET seen_at = CASE WHEN seen_at < $2 THEN $2 ELSE seen_at END WHERE app_key = $1");
    Ok(write.execute(seen.bind(app).bind(&now)).await? > 0)
}

/// When it was read last; `None` of an app that has none.
pub async fn seen_at(read: &mut Read, app: &AppKey) -> Result<Option<Timestamp>, StoreError> {
    let find = sql("SELECT seen_at FROM client_documents WHERE app_key = $1");
    read.optional(find.bind(app)).await?.map(|row| row.column("seen_at")).transpose()
}

/// Clients that nobody allows any more, or that nobody has come by way of since `before`. Not those that an administrator has disabled: they are to stay
/// disabled.
pub async fn unused(read: &mut Read, before: Timestamp, limit: u32) -> Result<Vec<AppKey>, StoreError> {
    let unused = sql("SELECT client_documents.app_key FROM client_documents
                      JOIN apps ON apps.key = client_documents.app_key
                      WHERE apps.disabled_at IS NULL AND (client_documents.seen_at < $1
                          OR NOT EXISTS (SELECT 1 FROM consents WHERE consents.app_key = client_documents.app_key))
                      ORDER BY client_documents.app_key LIMIT $2");
    read.all(unused.long().bind(&before).bind(&limit)).await?.iter().map(|row| row.column("app_key")).collect()
}

/// Removes one of them with all that it has, if it is still unused. Whether it was.
pub async fn remove_unused(
    write: &mut Write,
    app: &AppKey,
    before: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    // Whoever allows it at this moment is waited for here, and seen by the next statement: PostgreSQL looks at other tables as they were when a
    // statement began.
    if !crate::apps::hold(write, app).await? {
        return Ok(false);
    }
    let remove = sql("DELETE FROM apps WHERE key = $1 AND disabled_at IS NULL AND (
                          EXISTS (SELECT 1 FROM client_documents WHERE app_key = $1 AND seen_at < $2)
                          OR NOT EXISTS (SELECT 1 FROM consents WHERE app_key = $1))
                          AND EXISTS (SELECT 1 FROM client_documents WHERE app_key = $1)");
    let removed = write.execute(remove.bind(app).bind(&before)).await? > 0;
    if removed {
        write.change(now, Change::PolicyChanged { app: Some(app.clone()) });
    }
    Ok(removed)
}
