-- +goose Up

-- Where a public client pushed a request from, whose name anybody can take.
ALTER TABLE pushed_requests ADD COLUMN source TEXT NOT NULL DEFAULT '';

-- The grants of one person for one client are counted, and the oldest removed.
DROP INDEX grants_user;
CREATE INDEX grants_user ON grants (user, client_id);

-- Pushed requests are counted by workload or source too.
CREATE INDEX pushed_requests_by ON pushed_requests (client_id, spiffe_id, source, expires);
