-- By which housekeeping finds what is over: in small bites, and without reading a whole table (docs/decisions/0017).
-- The first five grow at their right end, where an entry costs next to nothing. BRIN would cost less
-- still, but only in tables that nothing is ever deleted from: the oldest row that a page once had stays in its
-- summary, so when the room is used again every range looks old, and all of the table is read.

-- A registration is in one of these two at a time, and moves when it leaves the index of the open ones anyhow.
CREATE INDEX registrations_pending ON registrations (created_at) WHERE activated_at IS NULL AND closed_at IS NULL;
CREATE INDEX registrations_ended ON registrations (COALESCE(activated_at, closed_at))
    WHERE activated_at IS NOT NULL OR closed_at IS NOT NULL;

CREATE INDEX deliveries_by_age ON deliveries (at);

-- What is counted goes by its last use; what holds no use at all, first. That an update is a new entry here, and no
-- longer only a new row next to the old one, is bearable: the rules themselves let nobody update a row very often.
CREATE INDEX budgets_by_last_use ON budgets (kind, COALESCE(used_at[cardinality(used_at)], '-infinity'));
CREATE INDEX guesses_by_last ON guesses (last_at);
CREATE INDEX lockouts_by_last ON lockouts (GREATEST(until, failures[cardinality(failures)]));

-- The end of a lock that was over used to be thrown away; it is kept now, for it tells when the row is over, too.
-- Where it is lost, the first failure after it is as good, or this moment.
UPDATE lockouts SET until = COALESCE(failures[1], clock_timestamp()) WHERE until IS NULL AND locks > 0;

-- Codes go with their registration, and so all of them must be found by it. The index of those that count does both
-- if the others are in it too: of one registration no two codes are superseded at the same moment.
-- Last, because dropping an index keeps readers away, too, until all of this is committed.
CREATE UNIQUE INDEX codes_current_and_superseded ON codes (registration_id, superseded_at) NULLS NOT DISTINCT;
DROP INDEX codes_current;
ALTER INDEX codes_current_and_superseded RENAME TO codes_current;
