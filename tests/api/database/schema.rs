//! Rules for every table: nothing in the schema `stm` is reachable through Supabase's Data API, and no foreign key makes
//! a delete scan a table.

use doors::sqlstate;
use testing::server::{Server, environment};
use testing::{Database, execute};

use crate::support::SERVE;

/// Each rule, and a query for what breaks it: those of Supabase's linter that concern a schema, and some of our own.
const RULES: &[(&str, &str)] = &[
    (
        "row level security is on",
        "select c.relname::text from pg_class c where c.relnamespace = 'stm'::regnamespace and c.relkind in ('r', 'p') and not c.relrowsecurity",
    ),
    ("there is no policy that lets anybody in", "select policyname::text from pg_policies where schemaname = 'stm'"),
    (
        "API roles may do nothing with tables",
        "select c.relname || ' ' || role || ' ' || privilege
         from pg_class c, unnest(array['anon', 'authenticated']) role, unnest(array['select', 'insert', 'update', 'delete']) privilege
         where c.relnamespace = 'stm'::regnamespace and c.relkind in ('r', 'p', 'v') and has_table_privilege(role, c.oid, privilege)",
    ),
    (
        "API roles may not use the schema",
        "select role from unnest(array['anon', 'authenticated']) role where has_schema_privilege(role, 'stm', 'usage')",
    ),
    (
        "API roles may not call functions",
        "select p.proname::text from pg_proc p, unnest(array['anon', 'authenticated']) role
         where p.pronamespace = 'stm'::regnamespace and has_function_privilege(role, p.oid, 'execute')",
    ),
    (
        "functions have a fixed search_path",
        "select proname::text from pg_proc where pronamespace = 'stm'::regnamespace
         and not coalesce(proconfig::text like '%search_path=%', false)",
    ),
    (
        "foreign keys are indexed",
        "select k.conname::text from pg_constraint k
         where k.contype = 'f' and k.connamespace = 'stm'::regnamespace and not exists (
             select from pg_index i where i.indrelid = k.conrelid and i.indpred is null and i.indkey[0] = k.conkey[1])",
    ),
    (
        "no type of our own, which unnamed statements cannot bear",
        "select t.typname::text from pg_type t where t.typnamespace = 'stm'::regnamespace and t.typtype in ('e', 'd', 'r')",
    ),
    (
        "views read with their caller's rights",
        "select c.relname::text from pg_class c where c.relnamespace = 'stm'::regnamespace
         and (c.relkind = 'm' or c.relkind = 'v' and not coalesce(c.reloptions::text like '%security_invoker=%', false))",
    ),
    (
        "no function runs with its owner's rights",
        "select proname::text from pg_proc where pronamespace = 'stm'::regnamespace and prosecdef",
    ),
    (
        "no index is there twice",
        "select min(i.indexrelid::regclass::text) from pg_index i
         join pg_class c on c.oid = i.indexrelid and c.relnamespace = 'stm'::regnamespace
         group by i.indrelid, i.indkey::text, i.indclass::text, i.indcollation::text, i.indoption::text,
                  pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid), c.relam
         having count(*) > 1",
    ),
    (
        "every table has a primary key",
        "select c.relname::text from pg_class c where c.relnamespace = 'stm'::regnamespace and c.relkind in ('r', 'p')
         and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)",
    ),
    (
        "no default privileges let API roles in",
        "select d.defaclobjtype::text from pg_default_acl d, aclexplode(d.defaclacl) a
         where d.defaclnamespace = 'stm'::regnamespace
         and a.grantee in (0, (select oid from pg_roles where rolname = 'anon'), (select oid from pg_roles where rolname = 'authenticated'))",
    ),
    (
        "API roles may use no sequence",
        "select c.relname || ' ' || role from pg_class c, unnest(array['anon', 'authenticated']) role
         where c.relnamespace = 'stm'::regnamespace and c.relkind = 'S' and has_sequence_privilege(role, c.oid, 'usage, select, update')",
    ),
    (
        "API roles may read no column",
        "select c.relname || ' ' || role from pg_class c, unnest(array['anon', 'authenticated']) role
         where c.relnamespace = 'stm'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
         and has_any_column_privilege(role, c.oid, 'select, insert, update, references')",
    ),
    (
        "nothing stands in the schema that the Data API exposes",
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f')",
    ),
];

/// A database as Supabase hands it over: whatever is created in `public`, by whom it may be, is open to the API's roles.
async fn supabase_shaped() -> Database {
    let database = Database::create().await;
    let session = &mut database.session().await;
    execute(
        session,
        "grant usage on schema public to anon, authenticated, service_role;
         alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
         alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
         alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;",
    )
    .await;
    database
}

#[tokio::test]
async fn every_table_is_private_and_every_foreign_key_indexed() {
    let database = supabase_shaped().await;
    let _server = Server::start(SERVE, &environment(&database, &[]));
    let mut session = database.session().await;
    for (rule, offenders) in RULES {
        let offenders: Vec<String> = sqlx::query_scalar(*offenders).fetch_all(&mut session).await.expect(rule);
        assert!(offenders.is_empty(), "{rule}, but not for {offenders:?}");
    }
    for role in ["anon", "authenticated"] {
        execute(&mut session, &format!("set role {role}")).await;
        let denied = sqlx::query("select 1 from stm.users").fetch_all(&mut session).await.expect_err("private");
        assert_eq!(sqlstate(&denied).as_deref(), Some("42501"));
        execute(&mut session, "reset role").await;
    }
}

/// The control: each rule finds what breaks it.
#[tokio::test]
async fn a_bad_table_is_found_by_every_rule() {
    let database = supabase_shaped().await;
    let _server = Server::start(SERVE, &environment(&database, &[]));
    let mut session = database.session().await;
    execute(
        &mut session,
        "create table stm.bad (id bigint primary key, parent bigint references stm.bad);
         create policy bad on stm.bad using (true);
         grant usage on schema stm to anon;
         grant select on stm.bad to anon;
         create table stm.bad_keyless (id bigint generated by default as identity);
         create index bad_one on stm.bad_keyless (id);
         create index bad_two on stm.bad_keyless (id);
         grant usage on sequence stm.bad_keyless_id_seq to authenticated;
         alter default privileges in schema stm grant select on tables to anon;
         create view stm.bad_view as select * from stm.bad;
         create table public.bad_public (id bigint primary key);
         create type stm.bad_type as enum ('bad');
         create function stm.bad_function() returns integer language sql security definer as 'select 1';
         grant execute on function stm.bad_function() to anon;",
    )
    .await;
    for (rule, offenders) in RULES {
        let found: Vec<String> = sqlx::query_scalar(*offenders).fetch_all(&mut session).await.expect(rule);
        assert!(!found.is_empty(), "{rule}: the bad table is not found");
    }
}

#[tokio::test]
async fn ids_are_uuids_of_version_seven_in_order_of_time() {
    let database = Database::create().await;
    let _server = Server::start(SERVE, &environment(&database, &[]));
    let mut session = database.session().await;
    let mut last = None;
    for _ in 0..5 {
        let id: uuid::Uuid = sqlx::query_scalar("select stm.uuid_v7() from pg_sleep(0.002)")
            .fetch_one(&mut session)
            .await
            .expect("an id");
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        let made = id.get_timestamp().expect("a time").to_unix().0;
        let now = u64::try_from(chrono::Utc::now().timestamp()).expect("after 1970");
        assert!(made.abs_diff(now) <= 60, "made at {made}, now is {now}");
        assert!(last.is_none_or(|last| last < id), "{last:?}, then {id}");
        last = Some(id);
    }
}

/// The role of docs/supabase.md may call what reads, although the schema of extensions is not open to everybody.
#[tokio::test]
async fn the_documented_role_may_read() {
    const READS: &str = "select format('select from stm.%I(%s)', p.proname, concat_ws(', ', variadic array(
            select 'null::' || format_type(kind, null) from unnest(p.proargtypes) kind)))
        from pg_proc p where p.pronamespace = 'stm'::regnamespace and p.proname ~ '_v[0-9]+$' and p.provolatile = 's'";
    let database = Database::create().await;
    let _server = Server::start(SERVE, &environment(&database, &[]));
    let mut session = database.session().await;
    let reads: Vec<String> = sqlx::query_scalar(READS).fetch_all(&mut session).await.expect("functions");
    assert!(reads.iter().any(|read| read.contains("search_services_v1")), "{reads:?}");
    let (_, documented) = include_str!("../../../docs/supabase.md").split_once("```sql\n").expect("SQL");
    let (documented, _) = documented.split_once("```").expect("its end");
    // A role of this test alone, which ends with its transaction.
    let role = format!("{}_reader", database.direct_url().rsplit('/').next().expect("a name"));
    execute(&mut session, &format!("begin; {}; set local role {role}", documented.replace("stm_service", &role))).await;
    for read in reads {
        let rows = sqlx::query(sqlx::AssertSqlSafe(read.as_str())).fetch_all(&mut session).await;
        assert!(rows.is_ok(), "{read}: {rows:?}");
    }
}
