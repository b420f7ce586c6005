-- +goose Up

-- People who sign in with a password of this server. password is a PHC string.
CREATE TABLE login_users (
    name     TEXT    PRIMARY KEY,
    password TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    changed  INTEGER NOT NULL
) STRICT;

-- Browsers in which somebody has signed in.
CREATE TABLE login_sessions (
    digest    BLOB    PRIMARY KEY CHECK (length(digest) = 32),
    subject   TEXT    NOT NULL,
    provider  TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    auth_time INTEGER NOT NULL,
    amr       TEXT    NOT NULL, -- a JSON list
    acr       TEXT    NOT NULL,
    started   INTEGER NOT NULL,
    seen      INTEGER NOT NULL,
    ends      INTEGER NOT NULL
) STRICT;
CREATE INDEX login_sessions_of ON login_sessions (subject, started);
CREATE INDEX login_sessions_ends ON login_sessions (ends);

-- People who were sent to a provider.
CREATE TABLE login_attempts (
    state    BLOB    PRIMARY KEY CHECK (length(state) = 32),
    browser  BLOB    NOT NULL CHECK (length(browser) = 32),
    provider TEXT    NOT NULL,
    kept     TEXT    NOT NULL,
    started  INTEGER NOT NULL,
    used     INTEGER NOT NULL,
    ends     INTEGER NOT NULL
) STRICT;
CREATE INDEX login_attempts_ends ON login_attempts (ends);

-- Tries to sign in with a password, counted by digests.
CREATE TABLE login_tries (
    key      BLOB    PRIMARY KEY CHECK (length(key) = 32),
    failures INTEGER NOT NULL,
    wait     INTEGER NOT NULL, -- until when nobody may try
    ends     INTEGER NOT NULL
) STRICT;
CREATE INDEX login_tries_ends ON login_tries (ends);

-- What people let clients have in their name.
CREATE TABLE login_consents (
    subject   TEXT    NOT NULL,
    client_id TEXT    NOT NULL,
    resource  TEXT    NOT NULL,
    scope     TEXT    NOT NULL, -- sorted, with spaces
    given     INTEGER NOT NULL,
    ends      INTEGER NOT NULL,
    UNIQUE (subject, client_id, resource)
) STRICT;
CREATE INDEX login_consents_ends ON login_consents (ends);
