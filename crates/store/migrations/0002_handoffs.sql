-- Where the engine answers for a zone that is not home.
ALTER TABLE zones ADD COLUMN alias {text};
CREATE UNIQUE INDEX zones_by_alias ON zones (alias) WHERE alias IS NOT NULL;

-- Codes by which another root domain learns who is signed in: thirty seconds, once.
CREATE TABLE handoffs (
    code {blob} NOT NULL PRIMARY KEY,
    zone {text} NOT NULL REFERENCES zones (name) ON DELETE CASCADE,
    session_id {text} NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    challenge {blob} NOT NULL,
    created_at {integer} NOT NULL,
    expires_at {integer} NOT NULL,
    redeemed_at {integer}
) {strict};
CREATE INDEX handoffs_by_session ON handoffs (session_id, zone);
CREATE INDEX handoffs_by_expiry ON handoffs (expires_at);
CREATE INDEX handoffs_by_zone ON handoffs (zone);
