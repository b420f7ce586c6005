-- +goose Up

-- What the file is: "SvGt".
PRAGMA application_id = 1400260468;

-- Which version of the program brought the schema to which version.
CREATE TABLE store_schema (
    schema  INTEGER PRIMARY KEY,
    program TEXT    NOT NULL,
    since   INTEGER NOT NULL
) STRICT;

-- One row, which is written to find out whether the store can be.
CREATE TABLE store_probe (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at  INTEGER NOT NULL
) STRICT;
INSERT INTO store_probe VALUES (1, 0);

-- Documents that are replaced as a whole: the signing keys, encrypted.
CREATE TABLE documents (
    name    TEXT    PRIMARY KEY,
    version INTEGER NOT NULL,
    content BLOB    NOT NULL
) STRICT;
