-- Which family came of a code is written down with the code, in the statement that uses it up: families need no index for it. Codes and refresh tokens of
-- before are looked up otherwise from now on (their digests begin with the time), so none of them is kept; nothing that makes them was released.
DROP TABLE refresh_tokens;
DROP TABLE token_families;
DELETE FROM authorization_codes;
DELETE FROM device_codes;
ALTER TABLE authorization_codes ADD COLUMN family_id {text};
ALTER TABLE device_codes ADD COLUMN family_id {text};

-- The generation, which is counted, says which refresh token is the newest; the answer that brought it is kept, sealed, for whoever did not hear it.
-- Those that were granted offline access keep their session's row, ended, as long as they live.
CREATE TABLE token_families (
    id {text} NOT NULL PRIMARY KEY,
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    session_id {text} NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    scope {text} NOT NULL,
    resources {text} NOT NULL,
    claims {text} NOT NULL,
    dpop_jkt {blob},
    offline {integer} NOT NULL CHECK (offline IN (0, 1)),
    generation {integer} NOT NULL,
    rotated_at {integer} NOT NULL,
    answer {blob},
    created_at {integer} NOT NULL,
    expires_at {integer} NOT NULL,
    revoked_at {integer}
) {strict};
CREATE INDEX token_families_by_session ON token_families (session_id);
CREATE INDEX token_families_by_app ON token_families (app_key);
CREATE INDEX token_families_by_expiry ON token_families (expires_at);

-- Every refresh token of a family that lives, used ones too: otherwise nobody would notice that one is used again.
CREATE TABLE refresh_tokens (
    token {blob} NOT NULL PRIMARY KEY,
    family_id {text} NOT NULL REFERENCES token_families (id) ON DELETE CASCADE,
    generation {integer} NOT NULL,
    UNIQUE (family_id, generation)
) {clustered};

-- Entries are read by time and never by name, so that the index that keeps them apart is the one that they are read by.
CREATE TABLE audit_before AS SELECT * FROM audit;
DROP TABLE audit;
CREATE TABLE audit (
    id {text} NOT NULL,
    at {integer} NOT NULL,
    event {text} NOT NULL,
    actor {text} NOT NULL,
    user_id {text},
    app_key {text},
    session_id {text},
    ip {text},
    outcome {text} NOT NULL,
    reason {text},
    details {text} NOT NULL,
    PRIMARY KEY (at, id)
) {strict};
INSERT INTO audit (id, at, event, actor, user_id, app_key, session_id, ip, outcome, reason, details)
SELECT id, at, event, actor, user_id, app_key, session_id, ip, outcome, reason, details FROM audit_before ORDER BY at, id;
DROP TABLE audit_before;
CREATE INDEX audit_by_user ON audit (user_id, at, id);
CREATE INDEX audit_by_app ON audit (app_key, at, id) WHERE app_key IS NOT NULL;
CREATE INDEX audit_by_actor ON audit (actor, at, id);
CREATE INDEX audit_by_event ON audit (event, at, id);
