-- A pooled server keeps the plans of these functions, and of the checks of foreign keys within them. A plan that is made while
-- a table is empty may scan it from end to end, and does so until the table is analyzed: each new row makes it slower. Every row
-- in them is found by an index, so scans are ruled out. That makes the estimated cost of `stm.settings`, whose one row is scanned
-- anyway, so high that PostgreSQL would compile the plan at each call: not that either.
alter function stm.book_v1 set enable_seqscan = off;
alter function stm.book_v1 set jit = off;
alter function stm.insert_notification_v1 set enable_seqscan = off;
alter function stm.insert_notification_v1 set jit = off;
