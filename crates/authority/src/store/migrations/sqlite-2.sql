-- The state of the authority: each record is JSON, by kind and id; one that was deleted stays, without a body, so that other
-- processes see that it has gone. Every transaction has a revision of its own.
CREATE TABLE revision (
    current INTEGER NOT NULL
) STRICT;
INSERT INTO revision VALUES (0);

CREATE TABLE record (
    kind     TEXT NOT NULL,
    id       TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body     TEXT,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_revision ON record (revision);
