//! Authorization codes: rows of `authorization_codes`. RFC 6749 §4.1.2, protocol §11.

use hallpass_core::handoff::CodeChallenge;
use hallpass_core::id::{AppKey, FamilyId, SessionId};
use hallpass_core::jwk::Thumbprint;
use hallpass_core::oidc::{CODE_LIFETIME, RequestedClaims, Resources, Scope};
use hallpass_core::secret::{AuthorizationCode, Digest};
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::sql;
use crate::{Read, Write, sessions};

/// A code to be.
#[derive(Debug, Clone)]
pub struct NewCode<'a> {
    /// What it will be looked up by.
    pub code: Digest<AuthorizationCode>,
    /// The client that may redeem it.
    pub app: &'a AppKey,
    /// Who it stands for.
    pub session: SessionId,
    /// Where it is sent.
    pub redirect_uri: &'a str,
    /// What was granted.
    pub scope: Scope,
    /// For which services.
    pub resources: &'a Resources,
    /// What was asked for by name.
    pub claims: RequestedClaims,
    /// What the ID token repeats.
    pub nonce: Option<&'a str>,
    /// What it must be redeemed with.
    pub challenge: CodeChallenge,
    /// The key that whoever redeems it must hold, if the client has named one.
    pub key: Option<Thumbprint>,
}

/// What was written down of a code, whether or not it is still good.
#[derive(Debug, Clone)]
pub struct Code {
    /// The client that may redeem it.
    pub app: AppKey,
    /// Who it stands for.
    pub session: SessionId,
    /// Where it was sent.
    pub redirect_uri: String,
    /// What was granted.
    pub scope: Scope,
    /// For which services.
    pub resources: Resources,
    /// What was asked for by name.
    pub claims: RequestedClaims,
    /// What the ID token repeats.
    pub nonce: Option<String>,
    /// What it must be redeemed with.
    pub challenge: CodeChallenge,
    /// The key that whoever redeems it must hold, if the client has named one.
    pub key: Option<Thumbprint>,
    /// From when it is refused.
    pub expires_at: Timestamp,
    /// When it was used up.
    pub redeemed_at: Option<Timestamp>,
}

/// Writes down a new code. `false`, and nothing is written, when the session has ended.
pub async fn issue(write: &mut Write, new: &NewCode<'_>, now: Timestamp) -> Result<bool, StoreError> {
    if !sessions::hold(write, &new.session).await? {
        return Ok(false);
    }
    let insert = sql(
        "INSERT INTO authorization_codes (code, app_key, session_id, redirect_uri, scope, nonce, challenge, created_at, expires_at,
                                          resources, claims, dpop_jkt)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    );
    let insert = insert.bind(&new.code).bind(new.app).bind(&new.session).bind(new.redirect_uri).bind(&new.scope);
    let insert = insert.bind(&new.nonce.map(str::to_owned)).bind(&new.challenge);
    write
        .execute(insert.bind(&now).bind(&(now + CODE_LIFETIME)).bind(new.resources).bind(&new.claims).bind(&new.key))
        .await?;
    Ok(true)
}

/// By what a client presents.
pub async fn find(read: &mut Read, code: &Digest<AuthorizationCode>) -> Result<Option<Code>, StoreError> {
    let find = sql(
        "SELECT app_key, session_id, redirect_uri, scope, resources, claims, nonce, challenge, expires_at, redeemed_at, dpop_jkt
                    FROM authorization_codes WHERE code = $1",
    );
    let Some(row) = read.optional(find.bind(code)).await? else { return Ok(None) };
    Ok(Some(Code {
        app: row.column("app_key")?,
        session: row.column("session_id")?,
        redirect_uri: row.column("redirect_uri")?,
        scope: row.column("scope")?,
        resources: row.column("resources")?,
        claims: row.column("claims")?,
        nonce: row.optional("nonce")?,
        challenge: row.column("challenge")?,
        key: row.optional("dpop_jkt")?,
        expires_at: row.column("expires_at")?,
        redeemed_at: row.optional("redeemed_at")?,
    }))
}

/// Uses a code up for a family. `false` when somebody has before, or when its time is over: of many at once one is told `true`.
pub async fn redeem(
    write: &mut Write,
    code: &Digest<AuthorizationCode>,
    family: &FamilyId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let redeem = sql("UPDATE authorization_codes SET redeemed_at = $2, family_id = $3
                      WHERE code = $1 AND redeemed_at IS NULL AND expires_at > $2");
    Ok(write.execute(redeem.bind(code).bind(&now).bind(family)).await? > 0)
}

/// The family that came of a code, if it was used up.
pub async fn family(read: &mut Read, code: &Digest<AuthorizationCode>) -> Result<Option<FamilyId>, StoreError> {
    let find = sql("SELECT family_id FROM authorization_codes WHERE code = $1");
    Ok(read.optional(find.bind(code)).await?.map(|row| row.optional("family_id")).transpose()?.flatten())
}

/// Deletes up to `limit` codes that expired before `before`. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM authorization_codes WHERE code IN
                        (SELECT code FROM authorization_codes WHERE expires_at < $1 ORDER BY code LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}
