-- The state of the authority: each record is JSON, by kind and id; one that was deleted stays, without a body, so that other
-- authorities see that it has gone. Every transaction has a revision of its own.
CREATE TABLE countersign.revision (
    current bigint NOT NULL
);
INSERT INTO countersign.revision VALUES (0);

CREATE TABLE countersign.record (
    kind     text NOT NULL,
    id       text NOT NULL,
    revision bigint NOT NULL,
    body     text,
    PRIMARY KEY (kind, id)
);
CREATE INDEX record_revision ON countersign.record (revision);
