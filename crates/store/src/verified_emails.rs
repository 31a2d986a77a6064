//! Which users' mail addresses have been shown to be theirs, and by whose word: rows of `verified_emails`. Protocol §10; advisories T53, T54.

use hallpass_core::id::UserId;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::oidc::MailAddress;

use crate::error::StoreError;
use crate::sql::sql;
use crate::{Read, Write};

/// Writes down that `address` is the user's, by the word of `by`. Counts only as long as the user has that address.
pub async fn record(
    write: &mut Write,
    user: &UserId,
    email: &str,
    address: &MailAddress,
    by: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let record = sql("INSERT INTO verified_emails (user_id, email, canonical, verified_by, verified_at)
                      VALUES ($1, $2, $3, $4, $5)
                      ON CONFLICT (user_id) DO UPDATE SET email = excluded.email, canonical = excluded.canonical,
                          verified_by = excluded.verified_by, verified_at = excluded.verified_at");
    let record = record.bind(user).bind(email).bind(address.as_str()).bind(by).bind(&now);
    write.execute(record).await.map(drop)
}

/// The users whose address this verifiably is: two at most, since more than one is nobody in particular.
pub async fn users_of(read: &mut Read, address: &MailAddress) -> Result<Vec<UserId>, StoreError> {
    let find = sql("SELECT verified_emails.user_id FROM verified_emails
                    JOIN users ON users.id = verified_emails.user_id AND users.email = verified_emails.email
                    WHERE verified_emails.canonical = $1 ORDER BY verified_emails.user_id LIMIT 2");
    read.all(find.bind(address.as_str())).await?.iter().map(|row| row.column("user_id")).collect()
}
