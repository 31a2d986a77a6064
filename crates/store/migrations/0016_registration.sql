-- Where a sign-in at an OIDC client begins, for whoever comes from the start page.
ALTER TABLE apps ADD COLUMN initiate_login_uri {text};
-- A gateway in front of the app asks who its visitors are, and speaks for it without its secret.
ALTER TABLE apps ADD COLUMN forward_auth {integer} NOT NULL DEFAULT 0 CHECK (forward_auth IN (0, 1));
-- Apps that have registered themselves.
ALTER TABLE apps ADD COLUMN registered {integer} NOT NULL DEFAULT 0 CHECK (registered IN (0, 1));

-- What such a client manages its registration with, by digest, and how it said it would show who it is.
CREATE TABLE app_registrations (
    app_key {text} NOT NULL PRIMARY KEY REFERENCES apps (key) ON DELETE CASCADE,
    token {blob} NOT NULL UNIQUE,
    auth_method {text} NOT NULL
) {strict};
