//! Uploads: any bytes as a form, with files of any kind.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| stm_backend::files::fuzz::receive(data));
