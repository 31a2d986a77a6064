-- Answers of other providers that have come: each comes once. Of the browser's own transaction they hold a hash, and nothing else.
CREATE TABLE upstream_answers (
    answer {blob} NOT NULL PRIMARY KEY,
    answered_at {integer} NOT NULL
) {clustered};
CREATE INDEX upstream_answers_by_time ON upstream_answers (answered_at);

-- Mail addresses of which it has been shown that they are the user's, and by whose word. Good while the user has that very address.
CREATE TABLE verified_emails (
    user_id {text} NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    email {text} NOT NULL,
    canonical {text} NOT NULL,
    verified_by {text} NOT NULL,
    verified_at {integer} NOT NULL
) {strict};
CREATE INDEX verified_emails_by_canonical ON verified_emails (canonical);

-- Whether the user was made for this identity: then their names are what they are there.
ALTER TABLE upstream_identities ADD COLUMN made_user {integer} NOT NULL DEFAULT 0 CHECK (made_user IN (0, 1));
