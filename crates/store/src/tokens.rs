//! Refresh tokens and their families: what came of one code, an authorization code or a device's, and is revoked together. Protocol §11, RFC 9700 §4.14.2.

use std::time::Duration;

use hallpass_core::id::{AppKey, FamilyId, SessionId, UserId};
use hallpass_core::jwk::Thumbprint;
use hallpass_core::oidc::{RequestedClaims, Resources, Scope};
use hallpass_core::secret::{Digest, RefreshToken};
use hallpass_core::time::Timestamp;

use crate::error::StoreError;
use crate::sql::{Row, sql};
use crate::{Read, Write};

/// A family to be.
#[derive(Debug, Clone)]
pub struct NewFamily<'a> {
    /// Names it.
    pub id: FamilyId,
    /// Whose it is.
    pub app: &'a AppKey,
    /// Whom it stands for.
    pub session: SessionId,
    /// What was granted.
    pub scope: Scope,
    /// For which services.
    pub resources: &'a Resources,
    /// What was asked for by name.
    pub claims: RequestedClaims,
    /// How long it lives at most.
    pub lifetime: Duration,
    /// Its first refresh token.
    pub token: Digest<RefreshToken>,
    /// The key that whoever uses its refresh tokens must hold, if it is bound to one.
    pub key: Option<Thumbprint>,
}

/// A family.
#[derive(Debug, Clone)]
pub struct Family {
    /// Names it.
    pub id: FamilyId,
    /// Whose it is.
    pub app: AppKey,
    /// Whom it stands for.
    pub session: SessionId,
    /// What was granted.
    pub scope: Scope,
    /// For which services.
    pub resources: Resources,
    /// What was asked for by name.
    pub claims: RequestedClaims,
    /// The number of its newest refresh token.
    pub generation: i64,
    /// When that was made.
    pub rotated_at: Timestamp,
    /// The answer that brought it, sealed; none of the first.
    pub answer: Option<Vec<u8>>,
    /// From when it is refused, however often it was refreshed.
    pub expires_at: Timestamp,
    /// Set once it has been revoked.
    pub revoked_at: Option<Timestamp>,
    /// The key that whoever uses its refresh tokens must hold, if it is bound to one.
    pub key: Option<Thumbprint>,
}

/// A step to the next generation.
#[derive(Debug, Clone)]
pub struct Rotation<'a> {
    /// Of which family.
    pub family: FamilyId,
    /// From which generation.
    pub from: i64,
    /// The next refresh token.
    pub token: Digest<RefreshToken>,
    /// The answer that brings it, sealed.
    pub answer: &'a [u8],
    /// Binds the family to this key, unless it is bound already: that is for ever.
    pub key: Option<Thumbprint>,
}

/// Begins a family with its first refresh token.
pub async fn begin(write: &mut Write, new: &NewFamily<'_>, now: Timestamp) -> Result<(), StoreError> {
    let insert =
        sql("INSERT INTO token_families (id, app_key, session_id, scope, generation, rotated_at, created_at, expires_at, offline,
                                         resources, claims, dpop_jkt)
                      VALUES ($1, $2, $3, $4, 1, $5, $5, $6, $7, $8, $9, $10)");
    let insert = insert.bind(&new.id).bind(new.app).bind(&new.session).bind(&new.scope);
    let insert = insert.bind(&now).bind(&(now + new.lifetime)).bind(&new.scope.offline_access);
    write.defer(insert.bind(new.resources).bind(&new.claims).bind(&new.key)).await?;
    add(write, &new.id, &new.token, 1).await
}

/// The family of a refresh token, and the token's own generation.
pub async fn by_token(read: &mut Read, token: &Digest<RefreshToken>) -> Result<Option<(i64, Family)>, StoreError> {
    let find =
        sql("SELECT refresh_tokens.generation AS presented, token_families.id, app_key, session_id, scope, resources, claims,
                        token_families.generation, rotated_at, answer, expires_at, revoked_at, dpop_jkt
                    FROM refresh_tokens JOIN token_families ON token_families.id = refresh_tokens.family_id
                    WHERE refresh_tokens.token = $1");
    let Some(row) = read.optional(find.bind(token)).await? else { return Ok(None) };
    Ok(Some((row.column("presented")?, family(&row)?)))
}

/// By identifier.
pub async fn find(read: &mut Read, id: &FamilyId) -> Result<Option<Family>, StoreError> {
    let find =
        sql("SELECT id, app_key, session_id, scope, resources, claims, generation, rotated_at, answer, expires_at, revoked_at, dpop_jkt
                    FROM token_families WHERE id = $1");
    read.optional(find.bind(id)).await?.as_ref().map(family).transpose()
}

/// Keeps a family from moving on or ending until this transaction is over. `false` when it has ended already, or is not there. Families of live
/// sessions need it not: their session is held.
pub async fn hold(write: &mut Write, id: &FamilyId) -> Result<bool, StoreError> {
    let hold = sql("SELECT id FROM token_families WHERE id = $1 AND revoked_at IS NULL");
    Ok(write.held(hold.bind(id)).await?.is_some())
}

/// Makes the next refresh token the newest. `false`, and nothing is written, when the family is further already, or revoked: of many at once one is
/// told `true`.
pub async fn rotate(write: &mut Write, rotation: &Rotation<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let next = rotation.from + 1;
    let rotate = sql("UPDATE token_families SET generation = $3, rotated_at = $4, answer = $5,
                          dpop_jkt = COALESCE(dpop_jkt, $6)
                      WHERE id = $1 AND generation = $2 AND revoked_at IS NULL");
    let rotate = rotate.bind(&rotation.family).bind(&rotation.from).bind(&next);
    if write.execute(rotate.bind(&now).bind(&rotation.answer.to_vec()).bind(&rotation.key)).await? == 0 {
        return Ok(false);
    }
    add(write, &rotation.family, &rotation.token, next).await?;
    Ok(true)
}

/// Ends a family. `false` when it had ended already, or is not there.
pub async fn revoke(write: &mut Write, id: &FamilyId, now: Timestamp) -> Result<bool, StoreError> {
    let revoke = sql("UPDATE token_families SET revoked_at = $2, answer = NULL WHERE id = $1 AND revoked_at IS NULL");
    Ok(write.execute(revoke.bind(id).bind(&now)).await? > 0)
}

/// Ends every family of a user that would outlive its session. How many there were. The others end with their sessions and need no word here.
pub async fn revoke_offline_of(write: &mut Write, user: &UserId, now: Timestamp) -> Result<u64, StoreError> {
    let revoke = sql("UPDATE token_families SET revoked_at = $2, answer = NULL
                      WHERE offline = 1 AND revoked_at IS NULL AND session_id IN (SELECT id FROM sessions WHERE user_id = $1)");
    write.execute(revoke.bind(user).bind(&now)).await
}

/// Deletes up to `limit` families that expired before `before`, with their tokens. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let prune = sql("DELETE FROM token_families WHERE id IN
                        (SELECT id FROM token_families WHERE expires_at < $1 ORDER BY id LIMIT $2)");
    write.execute(prune.long().bind(&before).bind(&limit)).await
}

async fn add(
    write: &mut Write,
    family: &FamilyId,
    token: &Digest<RefreshToken>,
    generation: i64,
) -> Result<(), StoreError> {
    let insert = sql("INSERT INTO refresh_tokens (token, family_id, generation) VALUES ($1, $2, $3)");
    write.defer(insert.bind(token).bind(family).bind(&generation)).await
}

fn family(row: &Row) -> Result<Family, StoreError> {
    Ok(Family {
        id: row.column("id")?,
        app: row.column("app_key")?,
        session: row.column("session_id")?,
        scope: row.column("scope")?,
        resources: row.column("resources")?,
        claims: row.column("claims")?,
        generation: row.column("generation")?,
        rotated_at: row.column("rotated_at")?,
        answer: row.optional("answer")?,
        expires_at: row.column("expires_at")?,
        revoked_at: row.optional("revoked_at")?,
        key: row.optional("dpop_jkt")?,
    })
}
