#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tmbundle_fuzz::bad_map(data));
