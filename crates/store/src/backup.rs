//! Online backup and verified restore: one portable file for both databases.
//!
//! JSON Lines in plain text: a header, for every table a line with its columns, its rows (arrays in that order, bytes in base64)
//! and their count, and at the end a line with the SHA-256 of everything before it. Taken in one snapshot while the
//! engine works, in constant memory. A file made on SQLite restores into PostgreSQL and the other way round.
//!
//! What is of no use after a restore is left out: the change feed, counters, leases, sign-ins in progress. Sessions are
//! restored as ended: whoever signed out after the backup must not find themselves signed in again.

use std::fmt::Write as _;
use std::io;

use data_encoding::BASE64;
use hallpass_core::crypto::Sha256;
use hallpass_core::session::EndReason;
use hallpass_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::StoreError;
use crate::sql::{Row, Statement, Value, composed_sql, sql};
use crate::{BATCH, Read, Store, Write, meta, migrate};

/// The format that this version writes, and the newest it reads.
const FORMAT: u32 = 1;
/// Rows read at once.
const PAGE: usize = 200;
/// A line longer than this is not ours.
const MAXIMUM_LINE: u64 = 4 << 20;
/// The feed jumps this far ahead at a restore, past every position handed out since the backup, so that an app that kept
/// its place is told to start again instead of missing what it believes to have seen.
const FEED_LEAP: i64 = 1 << 32;

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// When it was taken.
    pub taken_at: Timestamp,
    /// How many rows of all tables.
    pub rows: u64,
}

/// Why a backup or a restore did not come to its end. A restore that fails leaves the database as it was.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file could not be read or written.
    #[error("the backup file: {0}")]
    File(#[from] io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file is no complete and unaltered backup.
    #[error("not a complete, unaltered backup: {0}")]
    Invalid(String),
    /// There is something in the database already.
    #[error("the database to restore into is not empty: {0} has rows")]
    NotEmpty(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Bytes,
}
use Kind::{Bytes, Integer, Text};

struct Table {
    name: &'static str,
    /// Its primary key: the first so many columns.
    key: usize,
    columns: &'static [(&'static str, Kind)],
}

/// What is kept, parents before children.
#[rustfmt::skip]
const TABLES: &[Table] = &[
    Table { name: "meta", key: 1, columns: &[("name", Text), ("value", Text)] },
    Table { name: "app_slots", key: 1, columns: &[("id", Integer), ("next", Integer)] },
    Table { name: "feed", key: 1, columns: &[("id", Integer), ("position", Integer)] },
    Table { name: "users", key: 1, columns: &[
        ("id", Text), ("username", Text), ("canonical", Text), ("display_name", Text), ("email", Text), ("attributes", Text),
        ("disabled_at", Integer), ("must_change_password", Integer), ("created_at", Integer), ("last_sign_in_at", Integer),
    ] },
    Table { name: "passwords", key: 1, columns: &[("user_id", Text), ("hash", Text), ("changed_at", Integer)] },
    Table { name: "groups", key: 1, columns: &[("id", Text), ("name", Text), ("created_at", Integer)] },
    Table { name: "group_members", key: 2, columns: &[("group_id", Text), ("user_id", Text)] },
    Table { name: "zones", key: 1, columns: &[
        ("name", Text), ("cookie_domain", Text), ("cookie_name", Text), ("home", Integer),
        ("alias", Text), ("bound", Integer), ("at_sign_in", Integer),
    ] },
    Table { name: "apps", key: 1, columns: &[
        ("key", Text), ("name", Text), ("zone", Text), ("access", Text), ("first_contact", Text), ("sensitive", Integer),
        ("relayed_sign_in", Integer), ("agent", Integer), ("assertion", Text), ("id_token_alg", Text),
        ("disabled_at", Integer), ("slot", Integer),
        ("client_credentials", Integer), ("device", Integer), ("third_party", Integer),
        ("client", Text), ("refresh_cookie", Integer), ("offline_access", Integer),
        ("require_pushed", Integer), ("initiate_login_uri", Text), ("forward_auth", Integer),
        ("jwks", Text),
        ("subject_type", Text), ("sector_identifier", Text), ("registered", Integer),
        ("require_dpop", Integer), ("claims_in_id_token", Integer), ("open_to_third_parties", Text), ("client_id", Text),
    ] },
    Table { name: "app_origins", key: 2, columns: &[("app_key", Text), ("rank", Integer), ("origin", Text)] },
    Table { name: "app_audiences", key: 2, columns: &[("app_key", Text), ("audience", Text)] },
    Table { name: "app_logout_urls", key: 2, columns: &[("app_key", Text), ("rank", Integer), ("url", Text)] },
    Table { name: "app_redirect_uris", key: 2, columns: &[("app_key", Text), ("rank", Integer), ("uri", Text)] },
    Table { name: "app_post_logout_redirect_uris", key: 2, columns: &[
        ("app_key", Text), ("rank", Integer), ("uri", Text),
    ] },
    Table { name: "app_secrets", key: 1, columns: &[
        ("id", Text), ("app_key", Text), ("digest", Bytes), ("created_at", Integer), ("expires_at", Integer),
        ("last_used_at", Integer),
    ] },
    Table { name: "app_registrations", key: 1, columns: &[
        ("app_key", Text), ("token", Bytes), ("auth_method", Text),
    ] },
    Table { name: "client_documents", key: 1, columns: &[("app_key", Text), ("seen_at", Integer)] },
    Table { name: "consents", key: 2, columns: &[
        ("user_id", Text), ("app_key", Text), ("scope", Text), ("granted_at", Integer), ("resources", Text),
    ] },
    Table { name: "roles", key: 1, columns: &[("id", Text), ("app_key", Text), ("name", Text)] },
    Table { name: "role_permissions", key: 2, columns: &[("role_id", Text), ("permission", Text)] },
    Table { name: "user_roles", key: 2, columns: &[("user_id", Text), ("role_id", Text)] },
    Table { name: "group_roles", key: 2, columns: &[("group_id", Text), ("role_id", Text)] },
    Table { name: "user_permissions", key: 3, columns: &[("user_id", Text), ("app_key", Text), ("permission", Text)] },
    Table { name: "group_permissions", key: 3, columns: &[("group_id", Text), ("app_key", Text), ("permission", Text)] },
    Table { name: "sessions", key: 1, columns: &[
        ("id", Text), ("user_id", Text), ("secret", Bytes), ("acr", Text), ("amr", Text), ("authenticated_at", Integer),
        ("created_at", Integer), ("last_seen_at", Integer), ("expires_at", Integer), ("inactivity", Integer),
        ("persistent", Integer), ("ended_at", Integer), ("end_reason", Text), ("user_agent", Text), ("ip", Text),
        ("device", Bytes), ("interacted_at", Integer), ("chained_at", Integer),
    ] },
    Table { name: "session_apps", key: 2, columns: &[("session_id", Text), ("app_key", Text), ("told_at", Integer)] },
    Table { name: "logouts", key: 3, columns: &[
        ("session_id", Text), ("app_key", Text), ("url", Text), ("user_id", Text), ("created_at", Integer), ("due_at", Integer),
        ("attempts", Integer), ("delivered_at", Integer), ("given_up_at", Integer),
    ] },
    Table { name: "upstream_identities", key: 2, columns: &[
        ("upstream", Text), ("identity", Text), ("user_id", Text), ("created_at", Integer), ("made_user", Integer),
    ] },
    Table { name: "verified_emails", key: 1, columns: &[
        ("user_id", Text), ("email", Text), ("canonical", Text), ("verified_by", Text), ("verified_at", Integer),
    ] },
    Table { name: "upstream_logouts", key: 1, columns: &[
        ("session_id", Text), ("upstream", Text), ("upstream_session", Text), ("user_id", Text), ("created_at", Integer),
        ("due_at", Integer), ("attempts", Integer), ("delivered_at", Integer), ("given_up_at", Integer),
    ] },
    Table { name: "devices", key: 2, columns: &[
        ("digest", Bytes), ("user_id", Text), ("created_at", Integer), ("last_seen_at", Integer),
    ] },
    Table { name: "signing_keys", key: 1, columns: &[
        ("kid", Text), ("purpose", Text), ("generation", Integer), ("algorithm", Text), ("sealed", Bytes),
        ("created_at", Integer), ("signs_from", Integer), ("signs_until", Integer), ("verifies_until", Integer),
    ] },
    Table { name: "audit", key: 2, columns: &[
        ("at", Integer), ("id", Text), ("event", Text), ("actor", Text), ("user_id", Text), ("app_key", Text),
        ("session_id", Text), ("ip", Text), ("outcome", Text), ("reason", Text), ("details", Text),
    ] },
    Table { name: "outbox", key: 1, columns: &[
        ("id", Text), ("kind", Text), ("payload", Text), ("created_at", Integer), ("due_at", Integer), ("attempts", Integer),
        ("done_at", Integer), ("dead_at", Integer),
    ] },
];

/// Tables that have their one row from the start.
const BORN_WITH_A_ROW: [&str; 2] = ["app_slots", "feed"];

/// The tables and columns that a backup keeps, for the test that compares them with the real ones.
#[doc(hidden)]
pub fn kept() -> Vec<(&'static str, Vec<&'static str>)> {
    TABLES.iter().map(|table| (table.name, table.columns.iter().map(|(name, _)| *name).collect())).collect()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    hallpass_backup: u32,
    schema: i64,
    taken_at: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Begin { table: String, columns: Vec<String> },
    Row(Vec<serde_json::Value>),
    End { end: String, rows: u64 },
    Trailer { rows: u64, sha256: String },
}

/// Writes a backup of everything as it is now.
pub async fn dump(store: &Store, writer: impl AsyncWrite + Unpin, now: Timestamp) -> Result<Summary, BackupError> {
    let mut out = Output { writer, digest: Sha256::new() };
    out.line(&Header { hallpass_backup: FORMAT, schema: migrate::version(), taken_at: now.as_millis() }).await?;
    let mut read = store.snapshot().await?;
    let mut total = 0;
    for table in TABLES {
        let columns = table.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        out.line(&Line::Begin { table: table.name.to_owned(), columns }).await?;
        let mut rows = 0;
        let mut last = None;
        loop {
            let page = page(&mut read, table, last.as_deref()).await?;
            for row in &page {
                out.line(&Line::Row(row.iter().map(written).collect())).await?;
            }
            rows += page.len() as u64;
            let full = page.len() == PAGE;
            last = page.into_iter().last();
            if !full {
                break;
            }
        }
        out.line(&Line::End { end: table.name.to_owned(), rows }).await?;
        total += rows;
    }
    let sha256 = hexadecimal(&out.digest.clone().finish());
    out.line(&Line::Trailer { rows: total, sha256 }).await?;
    out.writer.flush().await?;
    Ok(Summary { taken_at: now, rows: total })
}

/// Reads a backup to its end and says whether it is complete and unaltered; touches no database.
pub async fn verify(reader: impl AsyncBufRead + Unpin) -> Result<Summary, BackupError> {
    load(reader, None).await
}

/// Restores a backup into an empty database: all of it or, if it turns out not to be complete and unaltered, nothing.
pub async fn restore(store: &Store, reader: impl AsyncBufRead + Unpin, now: Timestamp) -> Result<Summary, BackupError> {
    let mut write = store.write().await?;
    for table in TABLES.iter().filter(|table| !BORN_WITH_A_ROW.contains(&table.name)) {
        let any = composed_sql(format!("SELECT 1 AS one FROM {} LIMIT 1", table.name));
        if write.optional(any).await?.is_some() {
            return Err(BackupError::NotEmpty(table.name));
        }
    }
    for name in BORN_WITH_A_ROW {
        write.execute(composed_sql(format!("DELETE FROM {name}"))).await?;
    }
    let summary = load(reader, Some(&mut write)).await?;
    let end = sql("UPDATE sessions SET ended_at = $1, end_reason = $2 WHERE ended_at IS NULL");
    write.execute(end.long().bind(&now).bind(&EndReason::Restored)).await?;
    write.execute(sql("UPDATE feed SET position = position + $1 WHERE id = 1").bind(&FEED_LEAP)).await?;
    meta::set(&mut write, meta::RESTORED_AT, &now.as_millis().to_string()).await?;
    write.commit().await?;
    Ok(summary)
}

/// Reads a backup line by line, checks everything about it, and inserts its rows where there is somewhere to insert them.
async fn load(reader: impl AsyncBufRead + Unpin, mut into: Option<&mut Write>) -> Result<Summary, BackupError> {
    let mut input = Input { reader, digest: Sha256::new(), line: Vec::new() };
    let header: Header = input.line().await?;
    if header.hallpass_backup > FORMAT || header.schema > migrate::version() {
        return Err(invalid("it was made by a newer version"));
    }
    let mut total = 0;
    let mut remaining = TABLES.iter();
    loop {
        let before = input.digest.clone();
        let (name, columns) = match input.line().await? {
            Line::Begin { table, columns } => (table, columns),
            Line::Trailer { rows, sha256 } => {
                if remaining.next().is_some() || rows != total || sha256 != hexadecimal(&before.finish()) {
                    return Err(invalid("its checksum or its counts do not match"));
                }
                if !input.at_end().await? {
                    return Err(invalid("something follows its end"));
                }
                return Ok(Summary { taken_at: Timestamp::from_millis(header.taken_at), rows: total });
            }
            Line::Row(_) | Line::End { .. } => return Err(invalid("a row outside of a table")),
        };
        // In our order, so that what a row refers to is there before it.
        let table =
            remaining.find(|table| table.name == name).ok_or_else(|| invalid("an unknown or misplaced table"))?;
        let known = |name: &String| table.columns.iter().find(|(known, _)| known == name).copied();
        let columns: Vec<_> =
            columns.iter().map(known).collect::<Option<_>>().ok_or_else(|| invalid("an unknown column"))?;
        let mut pending = Vec::with_capacity(BATCH);
        let mut rows = 0;
        loop {
            match input.line().await? {
                Line::Row(values) if values.len() == columns.len() => {
                    let values = values.into_iter().zip(&columns).map(|(value, (_, kind))| read_back(value, *kind));
                    pending
                        .push(values.collect::<Option<Vec<_>>>().ok_or_else(|| invalid("a value of the wrong kind"))?);
                    rows += 1;
                    if pending.len() == BATCH {
                        insert(into.as_deref_mut(), table, &columns, &mut pending).await?;
                    }
                }
                Line::End { end, rows: said } if end == table.name && said == rows => break,
                _ => return Err(invalid("a table that does not end as it should")),
            }
        }
        insert(into.as_deref_mut(), table, &columns, &mut pending).await?;
        total += rows;
    }
}

async fn insert(
    into: Option<&mut Write>,
    table: &Table,
    columns: &[(&str, Kind)],
    rows: &mut Vec<Vec<Value>>,
) -> Result<(), StoreError> {
    let rows = std::mem::take(rows);
    let Some(write) = into else { return Ok(()) };
    if rows.is_empty() {
        return Ok(());
    }
    // Column names are our own literals: `load` took them from `TABLES`.
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let head = format!("INSERT INTO {} ({}) VALUES ", table.name, names.join(", "));
    let statement = crate::insert(&head, rows.len(), columns.len(), "");
    write.execute(rows.iter().flatten().fold(statement, Statement::bind)).await?;
    Ok(())
}

/// The next rows after `last`, in the order of the primary key.
async fn page(read: &mut Read, table: &Table, last: Option<&[Value]>) -> Result<Vec<Vec<Value>>, StoreError> {
    let names: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
    let key = names[..table.key].join(", ");
    let mut text = format!("SELECT {} FROM {}", names.join(", "), table.name);
    if last.is_some() {
        let places: Vec<_> = (1..=table.key).map(|place| format!("${place}")).collect();
        let _ = write!(text, " WHERE ({key}) > ({})", places.join(", "));
    }
    let _ = write!(text, " ORDER BY {key} LIMIT {PAGE}");
    let bound = last.unwrap_or_default().iter().take(table.key);
    let statement = bound.fold(composed_sql(text), Statement::bind);
    let values = |row: &Row| {
        let value = |(index, (_, kind)): (usize, &(&str, Kind))| {
            Ok(match kind {
                Text => Value::Text(row.text(index)?.map(str::to_owned)),
                Integer => Value::Integer(row.integer(index)?),
                Bytes => Value::Bytes(row.bytes(index)?.map(<[u8]>::to_vec)),
            })
        };
        table.columns.iter().enumerate().map(value).collect()
    };
    read.all(statement.long()).await?.iter().map(values).collect()
}

fn written(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => text.as_deref().into(),
        Value::Integer(integer) => (*integer).into(),
        Value::Bytes(bytes) => bytes.as_ref().map(|bytes| BASE64.encode(bytes)).into(),
    }
}

fn read_back(value: serde_json::Value, kind: Kind) -> Option<Value> {
    use serde_json::Value as Json;
    Some(match (value, kind) {
        (Json::Null, Text) => Value::Text(None),
        (Json::Null, Integer) => Value::Integer(None),
        (Json::Null, Bytes) => Value::Bytes(None),
        (Json::String(text), Text) => Value::Text(Some(text)),
        (Json::Number(number), Integer) => Value::Integer(Some(number.as_i64()?)),
        (Json::String(text), Bytes) => Value::Bytes(Some(BASE64.decode(text.as_bytes()).ok()?)),
        _ => return None,
    })
}

fn invalid(why: &str) -> BackupError {
    BackupError::Invalid(why.to_owned())
}

fn hexadecimal(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

struct Output<W> {
    writer: W,
    digest: Sha256,
}

impl<W: AsyncWrite + Unpin> Output<W> {
    async fn line(&mut self, line: &impl Serialize) -> Result<(), BackupError> {
        let mut text = serde_json::to_vec(line).map_err(io::Error::from)?;
        text.push(b'\n');
        self.digest.update(&text);
        Ok(self.writer.write_all(&text).await?)
    }
}

struct Input<R> {
    reader: R,
    digest: Sha256,
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> Input<R> {
    async fn line<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, BackupError> {
        self.line.clear();
        (&mut self.reader).take(MAXIMUM_LINE).read_until(b'\n', &mut self.line).await?;
        if self.line.last() != Some(&b'\n') {
            return Err(invalid("it ends too early"));
        }
        self.digest.update(&self.line);
        serde_json::from_slice(&self.line).map_err(|_| invalid("a line that is not ours"))
    }

    async fn at_end(&mut self) -> Result<bool, BackupError> {
        Ok(self.reader.fill_buf().await?.is_empty())
    }
}
