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
