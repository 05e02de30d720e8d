//! The heaviest reads of LSMs and admins: latencies on the large marketplace, and how much slower the median is than on a
//! hundredth of it.

use std::time::Duration;

use testing::report::{median, say, setting};

use crate::is_wanted;
use crate::load::load;
use crate::reads::{FEW_CONNECTIONS, Marketplace};
use crate::service::Service;
use crate::workloads::get_as;

/// The most that the median of a dashboard or report may take, in milliseconds.
const MAX_P50_MS: f64 = 20.0;

/// The most that the median may grow from the small marketplace to the large one, as a factor.
const MAX_GROWTH: f64 = 2.0;

/// Who reads, and the path.
const READS: [(Who, &str); 14] = [
    (Who::Admin, "/admin/dashboard"),
    (Who::Admin, "/admin/dashboard/stats"),
    (Who::Admin, "/admin/activities"),
    (Who::Admin, "/admin/revenue?period=1year"),
    (Who::Admin, "/admin/jobs-distribution?period=1year"),
    (Who::Admin, "/admin/reports/regions"),
    (Who::Admin, "/admin/providers?sortBy=rating"),
    (Who::Admin, "/admin/providers?search=business%20777"),
    (Who::Admin, "/admin/customers"),
    (Who::Admin, "/admin/jobs?status=new,in_progress"),
    (Who::Admin, "/admin/reviews/stats"),
    (Who::Lsm, "/lsm/dashboard"),
    (Who::Lsm, "/lsm/jobs"),
    (Who::Lsm, "/lsm/providers"),
];

#[derive(Clone, Copy)]
enum Who {
    Lsm,
    Admin,
}

fn request(market: &Marketplace, (who, path): (Who, &str)) -> String {
    let person = match who {
        Who::Lsm => &market.lsm,
        Who::Admin => &market.admin,
    };
    get_as(path, &person.token)
}

/// The median and the 99th percentile of each read, in milliseconds.
type Latencies = Vec<(f64, f64)>;

/// Of the small marketplace and of the large one, in one round.
type Both = (Latencies, Latencies);

async fn round(market: &Marketplace, duration: Duration) -> Latencies {
    let service = Service::start(&market.database);
    let mut round = Vec::new();
    for read in READS {
        let few = load(service.port, FEW_CONNECTIONS, duration, 0, &|_| request(market, read)).await;
        round.push((few.percentile_ms(50), few.percentile_ms(99)));
    }
    service.stop();
    round
}

pub async fn section(small: &Marketplace, large: &Marketplace) {
    if !is_wanted("office") {
        return;
    }
    let rounds: usize = setting("BENCH_READS_ROUNDS", 2);
    let duration = Duration::from_secs(setting("BENCH_READS_S", 2));
    let mut measured = Vec::new();
    // The first round warms up.
    for number in 0..=rounds {
        let both = (round(small, duration).await, round(large, duration).await);
        say(&format!("reads of LSMs and admins, round {number}"));
        if number > 0 {
            measured.push(both);
        }
    }
    println!(
        "\n{:<42} {:>10} {:>10} {:>8} {:>12} {:>8}",
        "read (median)", "p50 ms", "p99 ms", "aim", "p50 growth", "aim"
    );
    for (place, (_, path)) in READS.iter().enumerate() {
        let of = |value: &dyn Fn(&Both) -> f64| median(measured.iter().map(value).collect());
        let (p50, growth) = (of(&|(_, large)| large[place].0), of(&|(small, large)| large[place].0 / small[place].0));
        let word = |is_met: bool| if is_met { "met" } else { "missed" };
        println!(
            "{path:<42} {p50:>10.2} {:>10.2} {:>8} {growth:>12.2} {:>8}",
            of(&|(_, large)| large[place].1),
            word(p50 <= MAX_P50_MS),
            word(growth <= MAX_GROWTH),
        );
    }
    println!("\n{FEW_CONNECTIONS} connections. Aims: p50 of at most {MAX_P50_MS} ms, growth of at most {MAX_GROWTH}.");
}
