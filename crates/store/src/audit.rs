//! The audit log: appended in the transaction of what it tells of, never changed, never pruned. Protocol §19.

use hallpass_core::id::{AppKey, AuditId, SessionId, UserId};
use hallpass_core::time::Timestamp;

use crate::columns::json;
use crate::error::StoreError;
use crate::sql::{Parameter, Row, Statement, Value, composed_sql, sql};
use crate::{Read, Write};

/// One entry: who, on whom, which app, from where, what, outcome, reason. Never a secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its own.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// What, in the past tense: `signed_in`, `role_assigned`.
    pub event: String,
    /// Who did it: a user id, `app:pos`, `cli:root`, `engine`.
    pub actor: String,
    /// On whom.
    pub user_id: Option<UserId>,
    /// In or by which app.
    pub app: Option<AppKey>,
    /// In which session.
    pub session_id: Option<SessionId>,
    /// From where.
    pub ip: Option<String>,
    /// `success`, `refused`, `failed`.
    pub outcome: String,
    /// Why it was refused or failed: a code.
    pub reason: Option<String>,
    /// What else there is to say, as a JSON object.
    pub details: serde_json::Value,
}

/// Which entries to read; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// On whom.
    pub user_id: Option<UserId>,
    /// Which app.
    pub app: Option<AppKey>,
    /// By whom.
    pub actor: Option<String>,
    /// What.
    pub event: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

impl From<&hallpass_core::audit::Entry> for Entry {
    fn from(entry: &hallpass_core::audit::Entry) -> Self {
        Self {
            id: entry.id,
            at: entry.at,
            event: entry.event.as_str().to_owned(),
            actor: entry.actor.to_string(),
            user_id: entry.user,
            app: entry.app.clone(),
            session_id: entry.session,
            ip: entry.ip.map(|ip| ip.to_string()),
            outcome: entry.outcome.as_str().to_owned(),
            reason: entry.reason.as_ref().map(ToString::to_string),
            details: entry.detail.clone(),
        }
    }
}

/// Appends an entry.
pub async fn append(write: &mut Write, entry: &Entry) -> Result<(), StoreError> {
    let append =
        sql("INSERT INTO audit (id, at, event, actor, user_id, app_key, session_id, ip, outcome, reason, details)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
    let append = append
        .bind(&entry.id)
        .bind(&entry.at)
        .bind(&entry.event)
        .bind(&entry.actor)
        .bind(&entry.user_id)
        .bind(&entry.app)
        .bind(&entry.session_id)
        .bind(&entry.ip)
        .bind(&entry.outcome)
        .bind(&entry.reason)
        .bind(&json(&entry.details)?);
    write.defer(append).await
}

/// Up to `limit` entries that pass `filter`, the newest first. The next page lies before the last one's `(at, id)`.
pub async fn list(
    read: &mut Read,
    filter: &Filter,
    before: Option<(Timestamp, AuditId)>,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    // Only the conditions that are asked for are in the text, so that each of them can use its index.
    let mut conditions = vec!["1 = 1".to_owned()];
    let mut values = Vec::new();
    let mut narrow = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            conditions.push(condition.replace('?', &format!("${}", values.len())));
        }
    };
    narrow("user_id = ?", filter.user_id.as_ref().map(Parameter::value));
    narrow("app_key = ?", filter.app.as_ref().map(Parameter::value));
    narrow("actor = ?", filter.actor.as_ref().map(Parameter::value));
    narrow("event = ?", filter.event.as_ref().map(Parameter::value));
    narrow("at >= ?", filter.since.as_ref().map(Parameter::value));
    narrow("at < ?", filter.until.as_ref().map(Parameter::value));
    if let Some((at, id)) = before {
        values.extend([at.value(), id.value()]);
        conditions.push(format!("(at, id) < (${}, ${})", values.len() - 1, values.len()));
    }
    values.push(limit.value());
    let text = format!(
        "SELECT id, at, event, actor, user_id, app_key, session_id, ip, outcome, reason, details FROM audit
         WHERE {} ORDER BY at DESC, id DESC LIMIT ${}",
        conditions.join(" AND "),
        values.len()
    );
    let list = values.iter().fold(composed_sql(text), Statement::bind);
    read.all(list.long()).await?.iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<Entry, StoreError> {
    Ok(Entry {
        id: row.column("id")?,
        at: row.column("at")?,
        event: row.column("event")?,
        actor: row.column("actor")?,
        user_id: row.optional("user_id")?,
        app: row.optional("app_key")?,
        session_id: row.optional("session_id")?,
        ip: row.optional("ip")?,
        outcome: row.column("outcome")?,
        reason: row.optional("reason")?,
        details: row.json("details")?,
    })
}
