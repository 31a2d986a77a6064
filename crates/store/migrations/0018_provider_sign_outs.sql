-- Sessions that came of a sign-in at another provider: whose and which session it is there, by the provider's own words, so that it can be ended from there.
-- The ID token, sealed with the session's id as associated data, only where somebody who signs out here is to be signed out there, too.
CREATE TABLE provider_sessions (
    session_id {text} NOT NULL PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    issuer {text} NOT NULL,
    subject {text} NOT NULL,
    sid {text},
    id_token {blob}
) {strict};
CREATE INDEX provider_sessions_by_sid ON provider_sessions (issuer, sid);
CREATE INDEX provider_sessions_by_subject ON provider_sessions (issuer, subject);

-- What providers have said to have ended: each of their logout tokens counts once, and a sign-in that was under way meanwhile finds it here.
CREATE TABLE provider_sign_outs (
    token {blob} NOT NULL PRIMARY KEY,
    issuer {text} NOT NULL,
    subject {text},
    sid {text},
    issued_at {integer} NOT NULL,
    received_at {integer} NOT NULL
) {strict};
CREATE INDEX provider_sign_outs_by_issuer ON provider_sign_outs (issuer, issued_at);
CREATE INDEX provider_sign_outs_by_time ON provider_sign_outs (received_at);
