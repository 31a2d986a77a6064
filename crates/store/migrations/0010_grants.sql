-- What an app may ask the token endpoint for besides codes: tokens in its own name, and people's consent on a device.
ALTER TABLE apps ADD COLUMN client_credentials {integer} NOT NULL DEFAULT 0 CHECK (client_credentials IN (0, 1));
ALTER TABLE apps ADD COLUMN device {integer} NOT NULL DEFAULT 0 CHECK (device IN (0, 1));

-- Devices that wait for somebody to allow them: ten minutes, once. What the device holds is known by its digest; what people type is shown on its
-- screen. The session is that of whoever decided.
CREATE TABLE device_codes (
    code {blob} NOT NULL PRIMARY KEY,
    user_code {text} NOT NULL UNIQUE,
    app_key {text} NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    scope {text} NOT NULL,
    ip {text} NOT NULL,
    created_at {integer} NOT NULL,
    expires_at {integer} NOT NULL,
    pause {integer} NOT NULL,
    polled_at {integer},
    session_id {text} REFERENCES sessions (id) ON DELETE CASCADE,
    allowed {integer} CHECK (allowed IN (0, 1)),
    redeemed_at {integer}
) {strict};
CREATE INDEX device_codes_by_expiry ON device_codes (expires_at);
CREATE INDEX device_codes_by_session ON device_codes (session_id);
CREATE INDEX device_codes_by_app ON device_codes (app_key);
