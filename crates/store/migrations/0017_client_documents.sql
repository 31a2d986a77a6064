-- Of a client that describes itself: the address of its document, by which it is called on the wire.
ALTER TABLE apps ADD COLUMN client_id {text};
CREATE UNIQUE INDEX apps_client_id ON apps (client_id);
