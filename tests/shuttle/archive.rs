//! What `cargo shuttle deploy` sends away: all that an offline build needs, and nothing private.
//!
//! Its rule (`gather_build_files` in cargo-shuttle 0.57): every file below the project, hidden ones too, that
//! no `.ignore` leaves out, and inside a git checkout no `.gitignore`; never `.git` or a folder `target`. The
//! rule is tested by git's own reading of such files, which every developer has; where cargo-shuttle is
//! installed, it must pack exactly the same files.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::harness;

/// What cargo, rustup, sqlx's macros and Shuttle read, beside the files that the compiler reports.
/// `.cargo/config.toml` sets `SQLX_OFFLINE`.
const NEEDED: [&str; 6] =
    ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", ".cargo/config.toml", "sqlx.toml", "Shuttle.toml"];

/// What lies in a developer's folder and must stay there.
const PRIVATE: [&str; 9] = [
    "Secrets.toml",
    "Secrets.dev.toml",
    ".env",
    ".shuttle/config.toml",
    ".stack/run/pgdata/PG_VERSION",
    ".stack-test/run/pgdata/PG_VERSION",
    "target/debug/stm-backend",
    "node_modules/ws/index.js",
    "tests/clients/node_modules/ws/index.js",
];

/// Paths below the project, with `/` between folders.
type Files = BTreeSet<String>;

#[test]
fn a_deployment_archive_holds_all_that_an_offline_build_needs() {
    let needed = needed();
    let project = Project::copied();
    for in_git in [false, true] {
        if in_git {
            project.commit();
        }
        let packed = project.packed_by_the_rule(in_git);
        let missing: Vec<_> = needed.difference(&packed).collect();
        assert!(missing.is_empty(), "not packed (in git: {in_git}): {missing:?}");
        for file in PRIVATE {
            assert!(!packed.contains(file), "packed (in git: {in_git}): {file}");
        }
        match project.packed_by_cargo_shuttle() {
            Some(really_packed) => assert_eq!(really_packed, packed, "in git: {in_git}"),
            None => eprintln!("cargo-shuttle is not installed: its rule was tested, not the tool"),
        }
    }
}

/// Everything a build reads: the fixed files, the committed query data, and the compiler's own list.
fn needed() -> Files {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let queries = fs::read_dir(checkout.join(".sqlx")).expect("the committed query data");
    let queries: Files =
        queries.map(|query| format!(".sqlx/{}", query.expect("a file").file_name().to_string_lossy())).collect();
    let compiled = compiled_from(checkout);
    for (what, files) in [(".sqlx/query-", &queries), ("migrations/", &compiled), ("src/demo.sql", &compiled)] {
        assert!(files.iter().any(|file| file.starts_with(what)), "{what} is not among {files:?}");
    }
    NEEDED.map(ToOwned::to_owned).into_iter().chain(queries).chain(compiled).collect()
}

/// The files of the checkout that the Shuttle binary was compiled from, out of cargo's dep-info.
fn compiled_from(checkout: &Path) -> Files {
    let dep_info = fs::read_to_string(harness::build().with_extension("d")).expect("cargo's dep-info");
    let (_binary, sources) = dep_info.trim_end().split_once(": ").expect("a rule of make");
    // A space inside a path is written with a backslash before it.
    let sources = sources.replace("\\ ", "\0");
    let sources = sources.split(' ').map(|source| source.replace('\0', " "));
    // Folders that the build script watches are among them; their files are, too, each by itself.
    let sources = sources.filter(|source| !Path::new(source).is_dir());
    sources.filter_map(|source| Some(with_slashes(Path::new(&source).strip_prefix(checkout).ok()?))).collect()
}

fn with_slashes(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

/// A copy of the project in a scratch folder, with private files in all the usual places.
struct Project {
    scratch: TempDir,
}

impl Project {
    fn copied() -> Self {
        let scratch = TempDir::new().expect("a scratch folder");
        git(&["init", "--quiet", "--bare"]).arg(scratch.path().join("reader.git")).run();
        let project = Self { scratch };
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in project.not_ignored_by(".gitignore", checkout) {
            put(&project.folder().join(&file), &fs::read(checkout.join(&file)).expect("a file of the project"));
        }
        for file in PRIVATE {
            put(&project.folder().join(file), b"PRIVATE = \"stays here\"\n");
        }
        project
    }

    fn folder(&self) -> std::path::PathBuf {
        self.scratch.path().join("project")
    }

    /// Makes it a git checkout in which everything is committed that can be.
    fn commit(&self) {
        let folder = self.folder();
        git(&["init", "--quiet"]).current_dir(&folder).run();
        git(&["add", "--all"]).current_dir(&folder).run();
        let somebody = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
        git(&somebody).args(["commit", "--quiet", "--message", "all"]).current_dir(&folder).run();
    }

    fn packed_by_the_rule(&self, in_git: bool) -> Files {
        let mut packed = self.not_ignored_by(".ignore", &self.folder());
        if in_git {
            let committed = self.not_ignored_by(".gitignore", &self.folder());
            packed.retain(|file| committed.contains(file));
        }
        packed.retain(|file| !file.split('/').any(|folder| folder == "target"));
        packed
    }

    /// The files below `folder` that no file named `ignore_file` leaves out. A repository beside the project
    /// does the reading, so it works without one in `folder`.
    fn not_ignored_by(&self, ignore_file: &str, folder: &Path) -> Files {
        let listed = git(&["ls-files", "-z", "--others"])
            .arg(format!("--exclude-per-directory={ignore_file}"))
            .env("GIT_DIR", self.scratch.path().join("reader.git"))
            .env("GIT_WORK_TREE", folder)
            .current_dir(folder)
            .run();
        listed.split_terminator('\0').map(ToOwned::to_owned).collect()
    }

    /// `None` without cargo-shuttle. Needs neither a login nor a network; in a git checkout it also refuses
    /// to pack what is not committed, so the ignored files must not count as that.
    fn packed_by_cargo_shuttle(&self) -> Option<Files> {
        let archive = self.scratch.path().join("archive.zip");
        let mut deploy = Command::new("cargo-shuttle");
        deploy
            .args(["deploy", "--offline", "--id", "proj_00000000000000000000000000", "--output-archive"])
            .arg(&archive)
            .current_dir(self.folder())
            .env("XDG_CONFIG_HOME", self.scratch.path().join("config"))
            .stdin(Stdio::null());
        match deploy.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => panic!("{deploy:?}: {error}"),
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                Some(names_in_zip(&fs::read(archive).expect("the archive")))
            }
        }
    }
}

fn put(file: &Path, content: &[u8]) {
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(file, content).expect("a file");
}

/// Git without the settings of this machine, or of a hook that it runs.
fn git(arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(variable);
    }
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").args(arguments);
    git
}

trait Run {
    /// Runs to the end. Returns what was printed.
    fn run(&mut self) -> String;
}

impl Run for Command {
    fn run(&mut self) -> String {
        let output = self.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{self:?}: {error}"));
        assert!(output.status.success(), "{self:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

/// The file names in a zip archive without a comment and below 4 GiB, out of its central directory
/// (APPNOTE.TXT, 4.3.12 and 4.3.16).
fn names_in_zip(zip: &[u8]) -> Files {
    let number = |at: usize| usize::from(u16::from_le_bytes([zip[at], zip[at + 1]]));
    let end = zip.len() - 22;
    assert!(zip[end..].starts_with(b"PK\x05\x06"), "not a zip archive without a comment");
    let mut at = number(end + 16) + (number(end + 18) << 16);
    let mut names = Files::new();
    for _ in 0..number(end + 10) {
        assert!(zip[at..].starts_with(b"PK\x01\x02"), "no entry at byte {at}");
        let name = at + 46..at + 46 + number(at + 28);
        names.insert(String::from_utf8(zip[name.clone()].to_vec()).expect("UTF-8"));
        at = name.end + number(at + 30) + number(at + 32);
    }
    names
}
