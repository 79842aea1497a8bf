-- State of the authority. Each record is JSON, identified by kind and id. A deleted record keeps its
-- row without a body, so that other processes see the deletion. Each transaction has a revision.
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
