-- +goose Up

-- Clients that registered on first use, and workloads of clients with a wildcard.
CREATE TABLE client_records (
    spiffe_id         TEXT    NOT NULL,
    kind              TEXT    NOT NULL CHECK (kind IN ('first_use', 'member')),
    client_id         TEXT    NOT NULL,
    trust_domain      TEXT    NOT NULL,
    state             TEXT    NOT NULL CHECK (state IN ('active', 'pending', 'observed')),
    methods           INTEGER NOT NULL,
    created           INTEGER NOT NULL,
    used              INTEGER NOT NULL,
    credential        TEXT    NOT NULL,
    credential_digest BLOB    NOT NULL,
    bundle_sequence   INTEGER, -- unsigned
    template          TEXT    NOT NULL,
    template_digest   BLOB    NOT NULL,
    approved_by       TEXT    NOT NULL,
    approved          INTEGER NOT NULL,
    recorded          INTEGER NOT NULL CHECK (recorded IN (0, 1)), -- a line of the audit record tells of it
    PRIMARY KEY (spiffe_id, kind, client_id)
) STRICT;
CREATE INDEX client_records_lapse ON client_records (trust_domain, state, used);
CREATE INDEX client_records_client ON client_records (client_id, spiffe_id);

-- What records were, for a year.
CREATE TABLE client_archive (
    expires           INTEGER NOT NULL,
    archived          INTEGER NOT NULL,
    why               TEXT    NOT NULL,
    spiffe_id         TEXT    NOT NULL,
    kind              TEXT    NOT NULL,
    client_id         TEXT    NOT NULL,
    state             TEXT    NOT NULL,
    methods           INTEGER NOT NULL,
    created           INTEGER NOT NULL,
    used              INTEGER NOT NULL,
    credential        TEXT    NOT NULL,
    credential_digest BLOB    NOT NULL,
    bundle_sequence   INTEGER,
    template          TEXT    NOT NULL,
    template_digest   BLOB    NOT NULL,
    approved_by       TEXT    NOT NULL,
    approved          INTEGER NOT NULL
) STRICT;
CREATE INDEX client_archive_expires ON client_archive (expires);

-- How many records each trust domain has, so that nobody has to count them, and
-- from when on its next new client is within its rate, in nanoseconds.
CREATE TABLE client_counts (
    trust_domain TEXT    PRIMARY KEY,
    active       INTEGER NOT NULL DEFAULT 0,
    pending      INTEGER NOT NULL DEFAULT 0,
    observed     INTEGER NOT NULL DEFAULT 0,
    members      INTEGER NOT NULL DEFAULT 0,
    next_new     INTEGER NOT NULL DEFAULT 0
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER client_records_made AFTER INSERT ON client_records BEGIN
    INSERT INTO client_counts (trust_domain) VALUES (NEW.trust_domain) ON CONFLICT DO NOTHING;
    UPDATE client_counts SET
        active   = active   + (NEW.kind = 'first_use' AND NEW.state = 'active'),
        pending  = pending  + (NEW.kind = 'first_use' AND NEW.state = 'pending'),
        observed = observed + (NEW.kind = 'first_use' AND NEW.state = 'observed'),
        members  = members  + (NEW.kind = 'member')
    WHERE trust_domain = NEW.trust_domain;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER client_records_ended AFTER DELETE ON client_records BEGIN
    UPDATE client_counts SET
        active   = active   - (OLD.kind = 'first_use' AND OLD.state = 'active'),
        pending  = pending  - (OLD.kind = 'first_use' AND OLD.state = 'pending'),
        observed = observed - (OLD.kind = 'first_use' AND OLD.state = 'observed'),
        members  = members  - (OLD.kind = 'member')
    WHERE trust_domain = OLD.trust_domain;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER client_records_moved AFTER UPDATE OF state ON client_records WHEN OLD.state <> NEW.state BEGIN
    UPDATE client_counts SET
        active   = active   + (NEW.state = 'active')   - (OLD.state = 'active'),
        pending  = pending  + (NEW.state = 'pending')  - (OLD.state = 'pending'),
        observed = observed + (NEW.state = 'observed') - (OLD.state = 'observed')
    WHERE trust_domain = NEW.trust_domain;
END;
-- +goose StatementEnd

-- Client identifiers and SPIFFE IDs that an operator blocked or deleted.
CREATE TABLE client_blocks (
    subject TEXT    NOT NULL,
    deleted INTEGER NOT NULL,
    reason  TEXT    NOT NULL,
    made_by TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (subject, deleted)
) STRICT;

-- What operators changed, so that other processes take it over.
CREATE TABLE client_changes (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT    NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX client_changes_expires ON client_changes (expires);
