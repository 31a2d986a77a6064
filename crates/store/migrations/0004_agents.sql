-- A zone of one host, whose pass is a host-only cookie; and whether a chain after sign-in fetches the zone's pass at once.
ALTER TABLE zones ADD COLUMN bound {integer} NOT NULL DEFAULT 0 CHECK (bound IN (0, 1));
ALTER TABLE zones ADD COLUMN at_sign_in {integer} NOT NULL DEFAULT 0 CHECK (at_sign_in IN (0, 1));

-- Apps that fetch passes by handoffs of their own, and how those reach them.
ALTER TABLE apps ADD COLUMN agent {integer} NOT NULL DEFAULT 0 CHECK (agent IN (0, 1));
ALTER TABLE apps ADD COLUMN assertion {text} NOT NULL DEFAULT 'none';

-- A code for an app: which, where it was sent, the hash of its state, where the person goes on to, and the answer as it was given, sealed, for
-- an identical retry.
ALTER TABLE handoffs ADD COLUMN app_key {text} REFERENCES apps (key) ON DELETE CASCADE;
ALTER TABLE handoffs ADD COLUMN redirect_uri {text};
ALTER TABLE handoffs ADD COLUMN nonce {text};
ALTER TABLE handoffs ADD COLUMN return_to {text};
ALTER TABLE handoffs ADD COLUMN answer {blob};
CREATE INDEX handoffs_by_app ON handoffs (app_key);

-- The browser that a session is in, and the last time that somebody clicked or typed at the home host in it: what browsers go by when they
-- delete what belongs to sites that they take for trackers.
ALTER TABLE sessions ADD COLUMN device {blob};
ALTER TABLE sessions ADD COLUMN interacted_at {integer} NOT NULL DEFAULT 0;
-- When its sign-in was followed by a chain through other zones: once.
ALTER TABLE sessions ADD COLUMN chained_at {integer};
