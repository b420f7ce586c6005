-- +goose Up

-- What was revoked. Rows are only added and, when they have expired, deleted: whoever
-- has a copy goes on from the last position that it saw, and no position comes twice.
CREATE TABLE revocations (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT    NOT NULL,
    value    TEXT    NOT NULL,
    before   INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    by       TEXT    NOT NULL
) STRICT;
CREATE INDEX revocations_expires ON revocations (expires);
