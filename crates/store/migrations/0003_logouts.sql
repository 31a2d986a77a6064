-- Where an app hears that a session has ended.
CREATE TABLE app_logout_urls (
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    rank {integer} NOT NULL,
    url {text} NOT NULL,
    PRIMARY KEY (app_key, rank)
) {clustered};

-- Who has to be told of which session, in the transaction that ended it. No reference to the session: it is told also when the user is gone.
CREATE TABLE logouts (
    session_id {text} NOT NULL,
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    url {text} NOT NULL,
    user_id {text} NOT NULL,
    created_at {integer} NOT NULL,
    due_at {integer} NOT NULL,
    attempts {integer} NOT NULL,
    delivered_at {integer},
    given_up_at {integer},
    PRIMARY KEY (session_id, app_key, url)
) {strict};
CREATE INDEX logouts_by_due ON logouts (app_key, due_at) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX logouts_by_creation ON logouts (created_at);
