-- The state of the authority. Times are seconds since 1970, documents are JSON as they were given.
CREATE TABLE account (
    id        TEXT PRIMARY KEY,
    partition TEXT NOT NULL
) STRICT;

CREATE TABLE identity (
    id        INTEGER PRIMARY KEY,
    account   TEXT NOT NULL REFERENCES account (id),
    kind      TEXT NOT NULL CHECK (kind IN ('user', 'role')),
    path      TEXT NOT NULL,
    name      TEXT NOT NULL,
    unique_id TEXT NOT NULL UNIQUE,
    trust     TEXT,
    UNIQUE (account, kind, name)
) STRICT;

CREATE TABLE tag (
    identity INTEGER NOT NULL REFERENCES identity (id) ON DELETE CASCADE,
    key      TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (identity, key)
) STRICT;

CREATE TABLE access_key (
    id       TEXT PRIMARY KEY,
    identity INTEGER NOT NULL REFERENCES identity (id) ON DELETE CASCADE,
    secret   TEXT NOT NULL,
    status   TEXT NOT NULL CHECK (status IN ('Active', 'Inactive')),
    created  INTEGER NOT NULL
) STRICT;
CREATE INDEX access_key_identity ON access_key (identity);

-- A user's session keeps the user's ARN (GetSessionToken); a role's has a name of its own (AssumeRole).
CREATE TABLE session (
    access_key TEXT PRIMARY KEY,
    identity   INTEGER NOT NULL REFERENCES identity (id) ON DELETE CASCADE,
    name       TEXT,
    secret     TEXT NOT NULL,
    token      TEXT NOT NULL,
    expires    INTEGER NOT NULL,
    policy     TEXT
) STRICT;
CREATE INDEX session_expires ON session (expires);

CREATE TABLE identity_policy (
    identity INTEGER NOT NULL REFERENCES identity (id) ON DELETE CASCADE,
    kind     TEXT NOT NULL CHECK (kind IN ('inline', 'boundary')),
    name     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (identity, kind, name)
) STRICT;

-- Service control and resource control policies; level 0 is the organization's root.
CREATE TABLE control_policy (
    account  TEXT NOT NULL REFERENCES account (id),
    kind     TEXT NOT NULL CHECK (kind IN ('scp', 'rcp')),
    level    INTEGER NOT NULL,
    name     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, kind, level, name)
) STRICT;

CREATE TABLE instance (
    name        TEXT PRIMARY KEY,
    account     TEXT NOT NULL REFERENCES account (id),
    engine      TEXT NOT NULL,
    region      TEXT NOT NULL,
    resource_id TEXT NOT NULL UNIQUE,
    iam         INTEGER NOT NULL CHECK (iam IN (0, 1))
) STRICT;

CREATE TABLE endpoint (
    instance TEXT NOT NULL REFERENCES instance (name) ON DELETE CASCADE,
    host     TEXT NOT NULL,
    port     INTEGER NOT NULL,
    PRIMARY KEY (instance, host, port)
) STRICT;
