-- Where a sign-in at an OIDC client begins, for whoever comes from the start page.
ALTER TABLE apps ADD COLUMN initiate_login_uri {text};
-- A gateway in front of the app asks who its visitors are, and speaks for it without its secret.
ALTER TABLE apps ADD COLUMN forward_auth {integer} NOT NULL DEFAULT 0 CHECK (forward_auth IN (0, 1));
