-- Clients that read the ID token alone: names and addresses are in there, too.
ALTER TABLE apps ADD COLUMN claims_in_id_token {integer} NOT NULL DEFAULT 0 CHECK (claims_in_id_token IN (0, 1));
