-- When the larger tables are vacuumed: with the arithmetic in docs/SCALING.md. The default is after a fifth of the rows: of a
-- month of deliveries that would be six days of deleted rows, read past by every index scan of old rows until then.
ALTER TABLE deliveries SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE users SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE known_networks SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE guesses SET (autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE sessions SET (autovacuum_vacuum_scale_factor = 0.05);
-- Rows that live for a day at most, and are updated meanwhile.
ALTER TABLE budgets SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE unlocks SET (autovacuum_vacuum_scale_factor = 0.05);
