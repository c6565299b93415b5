-- no transaction
-- Most guesses are right, and deleted at once. While a snapshot is held, they cannot be vacuumed: the index of wrong guesses
-- has none of them, and that of unsettled ones is read from the oldest one that is left.
DROP INDEX CONCURRENTLY IF EXISTS code_attempts_wrong;
CREATE INDEX CONCURRENTLY code_attempts_wrong ON code_attempts (at) INCLUDE (length, codes) WHERE wrong;
DROP INDEX CONCURRENTLY IF EXISTS code_attempts_unsettled;
CREATE INDEX CONCURRENTLY code_attempts_unsettled ON code_attempts (at) WHERE NOT wrong;
DROP INDEX CONCURRENTLY IF EXISTS code_attempts_by_time;
