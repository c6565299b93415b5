-- Notices (an account was activated, a password was changed) are leased apart from the mails that people wait for, so that no
-- number of them delays a code. The broker has a queue for each of the two as well.
ALTER TABLE outbox ADD COLUMN is_notice boolean NOT NULL DEFAULT false;

CREATE INDEX outbox_codes ON outbox (created_at) WHERE NOT message ? 'specversion' AND NOT is_notice;
CREATE INDEX outbox_notices ON outbox (created_at) WHERE is_notice;
DROP INDEX outbox_mails;
