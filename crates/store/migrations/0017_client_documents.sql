-- Of a client that describes itself: the address of its document, by which it is called on the wire.
ALTER TABLE apps ADD COLUMN client_id {text};
CREATE UNIQUE INDEX apps_client_id ON apps (client_id);

-- When the document of such a client was read last, by any node.
CREATE TABLE client_documents (
    app_key {text} NOT NULL PRIMARY KEY REFERENCES apps (key) ON DELETE CASCADE,
    seen_at {integer} NOT NULL
) {strict};
