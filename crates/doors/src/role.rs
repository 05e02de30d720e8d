//! Whether the servers behind a pooler already have our time limits, as defaults of the role they run under.
//!
//! A default applies to sessions that begin after it was set, and a pooler keeps its servers for hours. So a limit is left
//! to the role only on two conditions: the catalogue has it, and every session of the role that may be older than the
//! default has been seen with it. A server on which somebody left another value is detected only when a reading runs there.

use std::collections::HashMap;

use sqlx::{Executor, Postgres, Row as _};

use crate::limits::{COUNT, LimitSet, NAMES, TimeLimits};

/// A session's process id, and when it began: microseconds of the database's clock.
type Session = (i32, i64);

/// The limits of one server session and of the catalogue, at one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Microseconds of the database's clock, after the catalogue was read.
    now: i64,
    /// The server process whose values these are.
    pid: i32,
    /// The larger of the present value and the one that RESET would bring back, in milliseconds.
    present: [u64; COUNT],
    /// The catalogue's values for new sessions of this role, as they were written; empty where there is none.
    defaults: [String; COUNT],
    /// Every session of this role in this database.
    sessions: Vec<Session>,
}

/// Takes the catalogue's defaults in order of precedence: of the role in the database, of the role, of the database, of all.
const READ: &str = "
select pg_catalog.pg_backend_pid() as pid,
       array(select greatest(coalesce(nullif(s.setting::int8, 0), 1::int8 << 40), coalesce(nullif(s.reset_val::int8, 0), 1::int8 << 40))
               from unnest($1::text[]) with ordinality as n (name, at)
               join pg_catalog.pg_settings s on s.name = n.name
              order by n.at) as present,
       array(select coalesce((select substr(item, length(n.name) + 2)
                                from pg_catalog.pg_db_role_setting d, unnest(d.setconfig) item
                               where starts_with(item, n.name || '=')
                                 and d.setrole in (0, role.oid) and d.setdatabase in (0, db.oid)
                               order by d.setrole <> 0 desc, d.setdatabase <> 0 desc
                               limit 1), '')
               from unnest($1::text[]) with ordinality as n (name, at)
              order by n.at) as defaults,
       s.pids, s.begins,
       (extract(epoch from clock_timestamp()) * 1000000)::int8 as now
  from (select oid from pg_catalog.pg_roles where rolname = session_user) role,
       (select oid from pg_catalog.pg_database where datname = current_database()) db,
       lateral (select array_agg(a.pid) as pids,
                       array_agg((extract(epoch from a.backend_start) * 1000000)::int8) as begins
                  from pg_catalog.pg_stat_activity a
                 where a.usesysid = role.oid and a.datid = db.oid and a.backend_type = 'client backend') s";

/// Reads the limits of the session behind `door`, which must be in a transaction that sets none itself.
pub async fn read(door: impl Executor<'_, Database = Postgres>) -> sqlx::Result<Reading> {
    let row = sqlx::query(READ).bind(&NAMES[..]).fetch_one(door).await?;
    let incomplete = || sqlx::Error::Protocol("the role's settings cannot be read".into());
    let present: [i64; COUNT] = row.try_get::<Vec<i64>, _>("present")?.try_into().map_err(|_| incomplete())?;
    let defaults = row.try_get::<Vec<String>, _>("defaults")?.try_into().map_err(|_| incomplete())?;
    let (pids, begins) = (row.try_get::<Vec<i32>, _>("pids")?, row.try_get::<Vec<i64>, _>("begins")?);
    Ok(Reading {
        now: row.try_get("now")?,
        pid: row.try_get("pid")?,
        present: present.map(|millis| u64::try_from(millis).unwrap_or(u64::MAX)),
        defaults,
        sessions: pids.into_iter().zip(begins).collect(),
    })
}

/// What the readings of one door have shown.
#[derive(Debug, Default)]
pub struct Role {
    /// Since when every reading has found the limit, in the catalogue and in its session. Sessions that began later have it.
    since: [Option<i64>; COUNT],
    /// Sessions that have been seen, and with which limits.
    seen: HashMap<Session, LimitSet>,
    /// When the limit was last found missing; readings from before then do not count.
    missed: [i64; COUNT],
}

/// The conclusion from a reading and those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The limits that every session has.
    pub held: LimitSet,
    /// How many more sessions have to be seen before the catalogue's other limits count.
    pub unseen: usize,
}

impl Role {
    /// Adds a reading to the earlier ones.
    pub fn learn(&mut self, reading: &Reading, limits: &TimeLimits) -> Verdict {
        self.seen.retain(|session, _| reading.sessions.contains(session));
        let own = reading.sessions.iter().find(|(pid, _)| *pid == reading.pid);
        let mut verdict = Verdict { held: LimitSet::default(), unseen: 0 };
        for (n, most) in limits.millis().into_iter().enumerate() {
            let limit = LimitSet::of(n);
            let default = millis(&reading.defaults[n]).filter(|default| (1..=most).contains(default));
            let (Some(own), Some(_), true) = (own, default, reading.present[n] <= most) else {
                self.missed[n] = self.missed[n].max(reading.now);
                self.doubt(n);
                continue;
            };
            if reading.now <= self.missed[n] {
                continue;
            }
            let seen = self.seen.entry(*own).or_default();
            *seen = seen.with(limit);
            let since = *self.since[n].get_or_insert(reading.now);
            let is_unseen = |session: &&Session| {
                session.1 <= since && !self.seen.get(session).is_some_and(|seen| seen.contains(limit))
            };
            match reading.sessions.iter().filter(is_unseen).count() {
                0 => verdict.held = verdict.held.with(limit),
                unseen => verdict.unseen = verdict.unseen.max(unseen),
            }
        }
        verdict
    }

    /// Forgets what is known of every limit.
    pub fn doubt_all(&mut self) -> Verdict {
        *self = Self::default();
        Verdict { held: LimitSet::default(), unseen: 0 }
    }

    /// Forgets what is known of this limit.
    fn doubt(&mut self, n: usize) {
        self.since[n] = None;
        for seen in self.seen.values_mut() {
            *seen = seen.without(LimitSet::of(n));
        }
    }
}

/// Parses the value of such a setting into milliseconds, as PostgreSQL does. Returns `None` for unusual spellings; the door
/// then sets the limit itself.
fn millis(value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let factor = match unit.trim_start() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    // A leading zero is octal to PostgreSQL.
    if number.len() > 1 && number.starts_with('0') {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn verdict(held: LimitSet, unseen: usize) -> Verdict {
        Verdict { held, unseen }
    }

    fn limits() -> TimeLimits {
        TimeLimits::new(Duration::from_secs(5))
    }

    /// A session that has the limits of the catalogue.
    fn good(pid: i32, now: i64, sessions: &[Session]) -> Reading {
        Reading {
            now,
            pid,
            present: [5000, 2000, 10_000],
            defaults: ["5s", "2000", "10s"].map(str::to_owned),
            sessions: sessions.to_vec(),
        }
    }

    #[test]
    fn each_limit_counts_by_itself() {
        let limits = limits();
        let one = |change: &dyn Fn(&mut Reading)| {
            let mut reading = good(1, 10, &[(1, 5)]);
            change(&mut reading);
            Role::default().learn(&reading, &limits)
        };
        let without = |n| verdict(LimitSet::ALL.without(LimitSet::of(n)), 0);
        assert_eq!(one(&|_| {}), verdict(LimitSet::ALL, 0));
        assert_eq!(one(&|reading| reading.defaults[0].clear()), without(0), "not in the catalogue");
        assert_eq!(one(&|reading| reading.defaults[0] = "0".into()), without(0), "no limit");
        assert_eq!(one(&|reading| reading.defaults[1] = "2001".into()), without(1), "larger than ours");
        assert_eq!(one(&|reading| reading.defaults[1] = "1s".into()), verdict(LimitSet::ALL, 0), "smaller");
        assert_eq!(one(&|reading| reading.present[2] = 10_001), without(2), "somebody left another on this server");
        assert_eq!(one(&|reading| reading.pid = 2), verdict(LimitSet::default(), 0), "whose values are these?");
    }

    #[test]
    fn a_session_that_may_be_older_than_the_default_has_to_be_seen_or_to_end() {
        let (limits, mut role) = (limits(), Role::default());
        let sessions = [(1, 5), (2, 6), (3, 7)];
        assert_eq!(role.learn(&good(1, 10, &sessions), &limits), verdict(LimitSet::default(), 2));
        assert_eq!(role.learn(&good(1, 20, &sessions), &limits), verdict(LimitSet::default(), 2));
        assert_eq!(role.learn(&good(2, 30, &sessions), &limits), verdict(LimitSet::default(), 1));
        // The third session ends; another begins, with the default from the catalogue.
        assert_eq!(role.learn(&good(1, 40, &[(1, 5), (2, 6), (4, 35)]), &limits), verdict(LimitSet::ALL, 0));
        // The same process id is not the same session.
        let again = [(1, 5), (2, 8)];
        assert_eq!(role.learn(&good(1, 50, &again), &limits), verdict(LimitSet::default(), 1));
    }

    #[test]
    fn one_bad_reading_voids_the_earlier_ones() {
        let (limits, mut role) = (limits(), Role::default());
        let sessions = [(1, 5), (2, 6)];
        role.learn(&good(1, 10, &sessions), &limits);
        assert_eq!(role.learn(&good(2, 20, &sessions), &limits), verdict(LimitSet::ALL, 0));
        let left_behind = Reading { present: [5000, 1 << 40, 10_000], ..good(2, 30, &sessions) };
        assert_eq!(role.learn(&left_behind, &limits), verdict(LimitSet::ALL.without(LimitSet::of(1)), 0));
        // A reading from before that, which arrives later, does not count.
        let without = verdict(LimitSet::ALL.without(LimitSet::of(1)), 0);
        assert_eq!(role.learn(&good(1, 25, &sessions), &limits), without);
        // The first session is as it was; the second has not yet been seen with the limit again.
        assert_eq!(role.learn(&good(1, 40, &sessions), &limits), verdict(LimitSet::ALL.without(LimitSet::of(1)), 1));
        assert_eq!(role.learn(&good(2, 50, &sessions), &limits), verdict(LimitSet::ALL, 0));
        // The role is altered: a session that began in the meantime must be seen as well.
        let altered = Reading { defaults: ["0", "2000", "10s"].map(str::to_owned), ..good(1, 60, &sessions) };
        assert_eq!(role.learn(&altered, &limits), verdict(LimitSet::ALL.without(LimitSet::of(0)), 0));
        let sessions = [(1, 5), (2, 6), (3, 65)];
        assert_eq!(role.learn(&good(1, 70, &sessions), &limits), verdict(LimitSet::ALL.without(LimitSet::of(0)), 2));
        role.doubt_all();
        assert_eq!(role.learn(&good(3, 80, &sessions), &limits), verdict(LimitSet::default(), 2));
    }

    #[test]
    fn values_are_read_as_postgresql_reads_them() {
        for (value, expected) in [
            ("5000", Some(5000)),
            ("300ms", Some(300)),
            ("5s", Some(5000)),
            ("5 s", Some(5000)),
            ("2min", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("1d", Some(86_400_000)),
            ("0", Some(0)),
            ("", None),
            ("1.5s", None),
            ("010", None),
            ("0x10", None),
            ("5 seconds", None),
            ("-1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(millis(value), expected, "{value}");
        }
    }
}
