-- Who somebody is at an upstream, such as Kratos. A user has one identity at each.
CREATE TABLE upstream_identities (
    upstream {text} NOT NULL,
    identity {text} NOT NULL,
    user_id {text} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at {integer} NOT NULL,
    PRIMARY KEY (upstream, identity)
) {clustered};
CREATE UNIQUE INDEX upstream_identities_by_user ON upstream_identities (user_id, upstream);

-- Sessions that stand on a session of an upstream, while they live. The credential is sealed, with the session's id as associated data.
CREATE TABLE session_upstreams (
    session_id {text} NOT NULL PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    upstream {text} NOT NULL,
    identity {text} NOT NULL,
    upstream_session {text} NOT NULL,
    credential {blob} NOT NULL,
    ends_there {integer} NOT NULL CHECK (ends_there IN (0, 1)),
    checked_at {integer} NOT NULL,
    failing_since {integer},
    due_at {integer} NOT NULL
) {strict};
CREATE INDEX session_upstreams_by_due ON session_upstreams (due_at);

-- Sessions that an upstream has to end, in the transaction that ended ours. No reference to the session: it is told also when the user is gone.
CREATE TABLE upstream_logouts (
    session_id {text} NOT NULL PRIMARY KEY,
    upstream {text} NOT NULL,
    upstream_session {text} NOT NULL,
    user_id {text} NOT NULL,
    created_at {integer} NOT NULL,
    due_at {integer} NOT NULL,
    attempts {integer} NOT NULL,
    delivered_at {integer},
    given_up_at {integer}
) {strict};
CREATE INDEX upstream_logouts_by_due ON upstream_logouts (due_at) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX upstream_logouts_by_upstream_session ON upstream_logouts (upstream_session);
CREATE INDEX upstream_logouts_by_creation ON upstream_logouts (created_at);
