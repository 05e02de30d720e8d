-- Planned once for each of the pooler's servers, as the other reads are. PostgreSQL would plan each call anew, because it expects
-- the plan for the parameters at hand to be cheaper; but planning costs twice what the list itself does.
alter function stm.list_notifications_v1 set plan_cache_mode = force_generic_plan;
