-- An app of somebody else, which learns nothing about a person who has not allowed it.
ALTER TABLE apps ADD COLUMN third_party {integer} NOT NULL DEFAULT 0 CHECK (third_party IN (0, 1));

-- What a person has allowed an app to learn, and when last: one row, which goes when they take it back.
CREATE TABLE consents (
    user_id {text} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    scope {text} NOT NULL,
    granted_at {integer} NOT NULL,
    PRIMARY KEY (user_id, app_key)
) {clustered};
CREATE INDEX consents_by_app ON consents (app_key);
