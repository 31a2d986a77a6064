-- Whether a client's authorization requests come by the back channel only (RFC 9126).
ALTER TABLE apps ADD COLUMN require_pushed {integer} NOT NULL DEFAULT 0 CHECK (require_pushed IN (0, 1));

-- Requests that clients have pushed: named within a minute and a half, good for one code. What they ask is sealed; the row goes when it is used up.
CREATE TABLE pushed_requests (
    request {blob} NOT NULL PRIMARY KEY,
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    sealed {blob} NOT NULL,
    created_at {integer} NOT NULL,
    expires_at {integer} NOT NULL
) {strict};
CREATE INDEX pushed_requests_by_app ON pushed_requests (app_key, expires_at);
CREATE INDEX pushed_requests_by_expiry ON pushed_requests (expires_at);

-- The services that a code and what comes of it are for, by their declared names with spaces in between (RFC 8707); none for our own endpoints.
ALTER TABLE authorization_codes ADD COLUMN resources {text} NOT NULL DEFAULT '';
ALTER TABLE token_families ADD COLUMN resources {text} NOT NULL DEFAULT '';

-- Single claims that were asked for, and where (OpenID Connect Core 1.0, section 5.5).
ALTER TABLE authorization_codes ADD COLUMN claims {text} NOT NULL DEFAULT '';
ALTER TABLE token_families ADD COLUMN claims {text} NOT NULL DEFAULT '';

-- What a client knows people as, and with names of its own, whose people they are (OpenID Connect Core 1.0, section 8).
ALTER TABLE apps ADD COLUMN subject_type {text} NOT NULL DEFAULT 'public';
ALTER TABLE apps ADD COLUMN sector_identifier {text};
