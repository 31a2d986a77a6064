-- Where a sign-in at an OIDC client begins, for whoever comes from the start page.
ALTER TABLE apps ADD COLUMN initiate_login_uri {text};
