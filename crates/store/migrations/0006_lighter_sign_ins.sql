-- Throttle counters are about minutes and are written at every sign-in. Where the database can, they are kept without its log: a crash of the database
-- server begins them anew, and their commit waits for no disk.
DROP TABLE attempts;
CREATE {transient} TABLE attempts (
    key {text} NOT NULL PRIMARY KEY,
    window_start {integer} NOT NULL,
    window_end {integer} NOT NULL,
    count {integer} NOT NULL
) {strict};
CREATE INDEX attempts_by_end ON attempts (window_end);

-- Most entries name no app.
DROP INDEX audit_by_app;
CREATE INDEX audit_by_app ON audit (app_key, at, id) WHERE app_key IS NOT NULL;
