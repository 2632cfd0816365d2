//! Counting, as a person meets it. That there is a test of the program also has the tests build it, for
//! `scripts/test counts`.

use std::process::Command;

#[test]
fn without_valgrind_it_says_what_to_install() {
    let counted = Command::new(env!("CARGO_BIN_EXE_bench"))
        .arg("count")
        .env("PATH", "")
        .output()
        .unwrap();
    assert!(!counted.status.success());
    let said = String::from_utf8(counted.stderr).unwrap();
    assert!(said.contains("apt-get install valgrind"), "{said}");
}
