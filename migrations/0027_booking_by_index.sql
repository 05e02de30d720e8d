-- A pooled server keeps the plans of these functions, and of the checks of foreign keys within them. A plan that is made while
-- a table is empty may scan the whole table, and is kept until the table is analyzed: each new row makes it slower. Every row that
-- these functions read is found by an index, so scans are ruled out. The one row of `stm.settings` is scanned all the same, at an
-- estimated cost so high that PostgreSQL would compile the plan at each call, so compiling is ruled out too.
alter function stm.book_v1 set enable_seqscan = off;
alter function stm.book_v1 set jit = off;
alter function stm.insert_notification_v1 set enable_seqscan = off;
alter function stm.insert_notification_v1 set jit = off;
