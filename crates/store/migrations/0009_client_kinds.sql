-- What an OIDC client is, whether its refresh tokens travel in a cookie, and whether people may stay signed in to it when their session is over.
ALTER TABLE apps ADD COLUMN client {text} NOT NULL DEFAULT 'confidential';
ALTER TABLE apps ADD COLUMN refresh_cookie {integer} NOT NULL DEFAULT 1 CHECK (refresh_cookie IN (0, 1));
ALTER TABLE apps ADD COLUMN offline_access {integer} NOT NULL DEFAULT 0 CHECK (offline_access IN (0, 1));

-- Families that were granted offline access: their session's row, ended, stays as long as they do.
ALTER TABLE token_families ADD COLUMN offline {integer} NOT NULL DEFAULT 0 CHECK (offline IN (0, 1));
