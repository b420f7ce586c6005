-- +goose Up

-- Authorization requests that clients pushed, until they are completed.
CREATE TABLE pushed_requests (
    uri        BLOB    NOT NULL UNIQUE,
    client_id  TEXT    NOT NULL,
    spiffe_id  TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    parameters TEXT    NOT NULL,
    opened     INTEGER NOT NULL CHECK (opened IN (0, 1)),
    expires    INTEGER NOT NULL
) STRICT;
CREATE INDEX pushed_requests_expires ON pushed_requests (expires);
CREATE INDEX pushed_requests_client ON pushed_requests (client_id, expires);

-- What people granted to clients, each with its one code and its one chain of
-- refresh tokens.
CREATE TABLE grants (
    id               TEXT    NOT NULL UNIQUE,
    client_id        TEXT    NOT NULL,
    spiffe_id        TEXT    NOT NULL,
    key              TEXT    NOT NULL,
    user             TEXT    NOT NULL,
    auth_time        INTEGER NOT NULL,
    amr              TEXT    NOT NULL,
    acr              TEXT    NOT NULL,
    scope            TEXT    NOT NULL,
    resource         TEXT    NOT NULL,
    issued           INTEGER NOT NULL,
    expires          INTEGER NOT NULL,
    revoked          INTEGER NOT NULL,

    code             BLOB    NOT NULL UNIQUE,
    redirect_uri     TEXT    NOT NULL,
    challenge        TEXT    NOT NULL,
    code_expires     INTEGER NOT NULL,
    redeemed         INTEGER NOT NULL,

    refresh_family   BLOB    UNIQUE,
    refresh_current  BLOB,
    refresh_previous BLOB,
    refresh_salt     BLOB,
    refresh_rotated  INTEGER NOT NULL,
    refresh_idle     INTEGER NOT NULL,
    refresh_expires  INTEGER NOT NULL
) STRICT;
CREATE INDEX grants_expires ON grants (expires);
CREATE INDEX grants_user ON grants (user);
CREATE INDEX grants_client ON grants (client_id);
