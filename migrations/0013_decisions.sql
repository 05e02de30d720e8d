-- Who turned something down, and why: what providers read of it.

-- Why the LSM turned the provider down; null unless it was.
alter table stm.providers add column rejection_reason text;

-- A request is rejected by the LSM or, after the LSM's approval, by an admin.
alter table stm.service_requests
    add column rejected_by text check (rejected_by in ('local_service_manager', 'admin')),
    add constraint service_requests_rejected_by check (rejected_by is null or status = 'rejected');
update stm.service_requests set rejected_by = 'local_service_manager' where status = 'rejected';
