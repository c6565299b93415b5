-- no transaction
-- The condition is one that only cleanup writes. With that of the registrations of an address, which are pending, too, Postgres
-- could search them here while the tables were empty, and keep to it: past all that are pending.
DROP INDEX CONCURRENTLY IF EXISTS registrations_expiring;
CREATE INDEX CONCURRENTLY registrations_expiring ON registrations (created_at) WHERE COALESCE(activated_at, closed_at) IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS registrations_pending;
