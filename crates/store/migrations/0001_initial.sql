-- One text for both databases. {text}, {integer} and {blob} become the database's own column types (text compares
-- by bytes on both); {strict} and {clustered} become table options, empty on PostgreSQL. Instants are milliseconds
-- since the epoch, booleans 0 or 1, identifiers their prefixed text, secrets their SHA-256 digest.

CREATE TABLE meta (
    name {text} NOT NULL PRIMARY KEY,
    value {text} NOT NULL
) {strict};

-- The last position handed out. Updating this one row is what puts commits in order.
CREATE TABLE feed (
    id {integer} NOT NULL PRIMARY KEY CHECK (id = 1),
    position {integer} NOT NULL
) {strict};
INSERT INTO feed (id, position) VALUES (1, 0);

CREATE TABLE changes (
    position {integer} NOT NULL PRIMARY KEY,
    at {integer} NOT NULL,
    kind {text} NOT NULL,
    session_id {text},
    user_id {text},
    app_key {text},
    reason {text}
) {strict};

CREATE TABLE users (
    id {text} NOT NULL PRIMARY KEY,
    username {text} NOT NULL,
    canonical {text} NOT NULL UNIQUE,
    display_name {text} NOT NULL,
    email {text},
    attributes {text} NOT NULL,
    disabled_at {integer},
    must_change_password {integer} NOT NULL CHECK (must_change_password IN (0, 1)),
    created_at {integer} NOT NULL,
    last_sign_in_at {integer}
) {strict};

CREATE TABLE passwords (
    user_id {text} NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    hash {text} NOT NULL,
    changed_at {integer} NOT NULL
) {strict};

CREATE TABLE groups (
    id {text} NOT NULL PRIMARY KEY,
    name {text} NOT NULL UNIQUE,
    created_at {integer} NOT NULL
) {strict};

CREATE TABLE group_members (
    group_id {text} NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    user_id {text} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
) {clustered};
CREATE INDEX group_members_by_user ON group_members (user_id);

CREATE TABLE zones (
    name {text} NOT NULL PRIMARY KEY,
    cookie_domain {text} NOT NULL,
    cookie_name {text} NOT NULL,
    home {integer} NOT NULL CHECK (home IN (0, 1))
) {strict};
-- The engine lives in one zone.
CREATE UNIQUE INDEX zones_one_home ON zones (home) WHERE home = 1;

CREATE TABLE apps (
    key {text} NOT NULL PRIMARY KEY,
    name {text} NOT NULL,
    zone {text} NOT NULL REFERENCES zones (name),
    access {text} NOT NULL,
    first_contact {text} NOT NULL,
    sensitive {integer} NOT NULL CHECK (sensitive IN (0, 1)),
    relayed_sign_in {integer} NOT NULL CHECK (relayed_sign_in IN (0, 1)),
    disabled_at {integer},
    slot {integer} NOT NULL UNIQUE
) {strict};
CREATE INDEX apps_by_zone ON apps (zone);

-- Slots are small numbers by which nodes remember apps in bit sets; never given twice.
CREATE TABLE app_slots (
    id {integer} NOT NULL PRIMARY KEY CHECK (id = 1),
    next {integer} NOT NULL
) {strict};
INSERT INTO app_slots (id, next) VALUES (1, 0);

CREATE TABLE app_origins (
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    rank {integer} NOT NULL,
    origin {text} NOT NULL,
    PRIMARY KEY (app_key, rank)
) {clustered};

CREATE TABLE app_audiences (
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    audience {text} NOT NULL,
    PRIMARY KEY (app_key, audience)
) {clustered};

CREATE TABLE app_secrets (
    id {text} NOT NULL PRIMARY KEY,
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    digest {blob} NOT NULL UNIQUE,
    created_at {integer} NOT NULL,
    expires_at {integer},
    last_used_at {integer}
) {strict};
CREATE INDEX app_secrets_by_app ON app_secrets (app_key);

CREATE TABLE roles (
    id {text} NOT NULL PRIMARY KEY,
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    name {text} NOT NULL,
    UNIQUE (app_key, name)
) {strict};

CREATE TABLE role_permissions (
    role_id {text} NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    permission {text} NOT NULL,
    PRIMARY KEY (role_id, permission)
) {clustered};

CREATE TABLE user_roles (
    user_id {text} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role_id {text} NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, role_id)
) {clustered};
CREATE INDEX user_roles_by_role ON user_roles (role_id);

CREATE TABLE group_roles (
    group_id {text} NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    role_id {text} NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, role_id)
) {clustered};
CREATE INDEX group_roles_by_role ON group_roles (role_id);

CREATE TABLE user_permissions (
    user_id {text} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    permission {text} NOT NULL,
    PRIMARY KEY (user_id, app_key, permission)
) {clustered};
CREATE INDEX user_permissions_by_app ON user_permissions (app_key);

CREATE TABLE group_permissions (
    group_id {text} NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    permission {text} NOT NULL,
    PRIMARY KEY (group_id, app_key, permission)
) {clustered};
CREATE INDEX group_permissions_by_app ON group_permissions (app_key);

CREATE TABLE sessions (
    id {text} NOT NULL PRIMARY KEY,
    user_id {text} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    secret {blob} NOT NULL UNIQUE,
    acr {text} NOT NULL,
    amr {text} NOT NULL,
    authenticated_at {integer} NOT NULL,
    created_at {integer} NOT NULL,
    last_seen_at {integer} NOT NULL,
    expires_at {integer} NOT NULL,
    inactivity {integer} NOT NULL,
    persistent {integer} NOT NULL CHECK (persistent IN (0, 1)),
    ended_at {integer},
    end_reason {text},
    user_agent {text} NOT NULL,
    ip {text} NOT NULL,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) {clustered};
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE INDEX sessions_by_end ON sessions (ended_at) WHERE ended_at IS NOT NULL;

-- Which apps have been told about a session: whom to tell when it ends.
CREATE TABLE session_apps (
    session_id {text} NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    told_at {integer} NOT NULL,
    PRIMARY KEY (session_id, app_key)
) {clustered};
CREATE INDEX session_apps_by_app ON session_apps (app_key);

-- One browser, known to every person who has signed in with it.
CREATE TABLE devices (
    digest {blob} NOT NULL,
    user_id {text} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at {integer} NOT NULL,
    last_seen_at {integer} NOT NULL,
    PRIMARY KEY (digest, user_id)
) {strict};
CREATE INDEX devices_by_user ON devices (user_id);
CREATE INDEX devices_by_last_seen ON devices (last_seen_at);

CREATE TABLE attempts (
    key {text} NOT NULL PRIMARY KEY,
    window_start {integer} NOT NULL,
    window_end {integer} NOT NULL,
    count {integer} NOT NULL
) {strict};
CREATE INDEX attempts_by_end ON attempts (window_end);

CREATE TABLE signing_keys (
    kid {text} NOT NULL PRIMARY KEY,
    purpose {text} NOT NULL,
    generation {integer} NOT NULL,
    algorithm {text} NOT NULL,
    sealed {blob} NOT NULL,
    created_at {integer} NOT NULL,
    signs_from {integer} NOT NULL,
    signs_until {integer},
    verifies_until {integer},
    -- Two nodes that rotate at once both want the same next generation: one gets it.
    UNIQUE (purpose, generation)
) {strict};

CREATE TABLE audit (
    id {text} NOT NULL PRIMARY KEY,
    at {integer} NOT NULL,
    event {text} NOT NULL,
    actor {text} NOT NULL,
    user_id {text},
    app_key {text},
    session_id {text},
    ip {text},
    outcome {text} NOT NULL,
    reason {text},
    details {text} NOT NULL
) {strict};
CREATE INDEX audit_by_time ON audit (at, id);
CREATE INDEX audit_by_user ON audit (user_id, at, id);
CREATE INDEX audit_by_app ON audit (app_key, at, id);
CREATE INDEX audit_by_actor ON audit (actor, at, id);
CREATE INDEX audit_by_event ON audit (event, at, id);

CREATE TABLE leases (
    name {text} NOT NULL PRIMARY KEY,
    holder {text} NOT NULL,
    held_until {integer} NOT NULL
) {strict};

CREATE TABLE outbox (
    id {text} NOT NULL PRIMARY KEY,
    kind {text} NOT NULL,
    payload {text} NOT NULL,
    created_at {integer} NOT NULL,
    due_at {integer} NOT NULL,
    attempts {integer} NOT NULL,
    done_at {integer},
    dead_at {integer}
) {strict};
CREATE INDEX outbox_by_due ON outbox (due_at) WHERE done_at IS NULL AND dead_at IS NULL;
CREATE INDEX outbox_by_done ON outbox (done_at) WHERE done_at IS NOT NULL;
