-- The public keys of a client that signs assertions in place of showing a secret: a JWK set, as declared.
ALTER TABLE apps ADD COLUMN jwks {text};

-- Assertions that were used, by the hash of client and jti, until they are refused for their age anyway.
CREATE TABLE client_assertions (
    id {blob} NOT NULL PRIMARY KEY,
    expires_at {integer} NOT NULL
) {strict};
CREATE INDEX client_assertions_by_expiry ON client_assertions (expires_at);
