-- What an OIDC client's ID tokens are signed with. The standard's default is RS256; clients that are there already go on with what they have been
-- getting, and were set up for.
ALTER TABLE apps ADD COLUMN id_token_alg {text} NOT NULL DEFAULT 'RS256';
UPDATE apps SET id_token_alg = 'EdDSA' WHERE key IN (SELECT app_key FROM app_redirect_uris);
