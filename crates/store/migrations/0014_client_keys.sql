-- The public keys of a client that signs assertions in place of showing a secret: a JWK set, as declared.
ALTER TABLE apps ADD COLUMN jwks {text};

-- Assertions that were used, by the hash of client and jti, until they are refused for their age anyway.
CREATE TABLE client_assertions (
    id {blob} NOT NULL PRIMARY KEY,
    expires_at {integer} NOT NULL
) {strict};
CREATE INDEX client_assertions_by_expiry ON client_assertions (expires_at);

-- What may be used only by whoever holds a key: the hash of the public one. And whether a client's tokens must be so.
ALTER TABLE apps ADD COLUMN require_dpop {integer} NOT NULL DEFAULT 0 CHECK (require_dpop IN (0, 1));
ALTER TABLE authorization_codes ADD COLUMN dpop_jkt {blob};
ALTER TABLE token_families ADD COLUMN dpop_jkt {blob};

-- Proofs of that which were used, by the hash of key and jti, until they are refused for their age anyway.
CREATE TABLE dpop_proofs (
    id {blob} NOT NULL PRIMARY KEY,
    expires_at {integer} NOT NULL
) {strict};
CREATE INDEX dpop_proofs_by_expiry ON dpop_proofs (expires_at);
