#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tsbox_core::fuzzing::netlink(bytes));
