//! What the binaries need besides their source.

fn main() {
    // A new migration is part of the binary: build again when one is added.
    println!("cargo:rerun-if-changed=migrations");
    // The line numbers of backtraces are three quarters of a release binary. Compressed, they are read as well.
    let is = |name, value| std::env::var(name).is_ok_and(|is| is == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo:rustc-link-arg-bins=-Wl,--compress-debug-sections=zlib");
    }
}
