-- State of the authority. Each record is JSON, identified by kind and id. A deleted record keeps its
-- row without a body, so that other authorities see the deletion. Each transaction has a revision.
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
