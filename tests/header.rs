//! The header of the C ABI is what the library's source makes of it.
//!
//! Guards against a header that declares what the library no longer has. After a change: run with
//! `PLASMITE_WRITE_HEADER=1`, and look at the difference.

use std::path::Path;

#[test]
fn the_header_is_that_of_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut header = Vec::new();
    // The modules below it are found from there.
    let builder = cbindgen::Builder::new().with_src(root.join("src/abi/mod.rs"));
    let bindings = builder.with_config(config).generate().unwrap();
    bindings.write(&mut header);
    let header = String::from_utf8(header).unwrap();
    let path = root.join("include/plasmite.h");
    if std::env::var_os("PLASMITE_WRITE_HEADER").is_some() {
        std::fs::write(&path, &header).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        header == committed,
        "include/plasmite.h is not what src/abi makes of it; PLASMITE_WRITE_HEADER=1 writes it anew"
    );
}
