-- How the hot tables are kept. The numbers follow from how the rows live, and were not tuned one by one.

-- Each message is written, leased and deleted within milliseconds, so the table is a few live rows among the dead.
-- Half of each page stays free, so that a lease is written next to its row and no index learns of it; and vacuum
-- comes after 2 000 dead rows however many live ones an outage has left, and does not pause on the way.
ALTER TABLE outbox SET (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);

-- One row an hour and length, which every guess updates.
ALTER TABLE guesses_by_hour SET (
    fillfactor = 20,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);

-- Rows that are updated as long as they matter, in columns that no index has: there must be room next to them.
ALTER TABLE budgets SET (fillfactor = 80);
ALTER TABLE guesses SET (fillfactor = 80);
ALTER TABLE lockouts SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- A code is sent once and tried a few times; a registration is guessed at and ends. Both leave a partial index
-- then, so most of their updates are new index entries anyhow, and free room would only make them larger. What
-- they need is that vacuum comes before a tenth of a large table is dead.
ALTER TABLE codes SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE registrations SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05);
