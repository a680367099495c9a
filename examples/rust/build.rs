//! Asks pkg-config where libfastpool is, for the linker and for the loader.
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    let asked = Command::new("pkg-config").args(["--variable=libdir", "fastpool"]).output();
    let answer = asked.expect("pkg-config does not run");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    // spaces come with a backslash
    let folder = String::from_utf8_lossy(&answer.stdout).trim().replace('\\', "");
    println!("cargo:rustc-link-search=native={folder}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
}
