-- Where the codes of an OIDC client may be sent, and where browsers may go after a sign-out: compared as they are written.
CREATE TABLE app_redirect_uris (
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    rank {integer} NOT NULL,
    uri {text} NOT NULL,
    PRIMARY KEY (app_key, rank)
) {clustered};
CREATE TABLE app_post_logout_redirect_uris (
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    rank {integer} NOT NULL,
    uri {text} NOT NULL,
    PRIMARY KEY (app_key, rank)
) {clustered};

-- Authorization codes: a minute, once.
CREATE TABLE authorization_codes (
    code {blob} NOT NULL PRIMARY KEY,
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    session_id {text} NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    redirect_uri {text} NOT NULL,
    scope {text} NOT NULL,
    nonce {text},
    challenge {blob} NOT NULL,
    created_at {integer} NOT NULL,
    expires_at {integer} NOT NULL,
    redeemed_at {integer}
) {strict};
CREATE INDEX authorization_codes_by_expiry ON authorization_codes (expires_at);
CREATE INDEX authorization_codes_by_session ON authorization_codes (session_id);
CREATE INDEX authorization_codes_by_app ON authorization_codes (app_key);

-- What came of one code. The generation, which is counted, says which refresh token is the newest; the answer that brought it is kept, sealed, for
-- whoever did not hear it.
CREATE TABLE token_families (
    id {text} NOT NULL PRIMARY KEY,
    code {blob} NOT NULL UNIQUE,
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    session_id {text} NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    scope {text} NOT NULL,
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
) {strict};
