-- +goose Up

-- Where somebody was who was sent to a provider, as a digest, so that no place has
-- more than its share.
ALTER TABLE login_attempts ADD COLUMN source BLOB NOT NULL DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000' CHECK (length(source) = 32);
CREATE INDEX login_attempts_of ON login_attempts (source, used, started);
