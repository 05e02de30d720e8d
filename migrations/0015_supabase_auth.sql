-- Supabase Auth: an account that its Supabase user has lost closes the sockets that this user has opened.
create trigger auth_uid_changed after update of auth_uid on stm.users
    for each row when (old.auth_uid is not null and old.auth_uid is distinct from new.auth_uid)
    execute function stm.tell_of_row('login_ended', 'user_id', 'id');
