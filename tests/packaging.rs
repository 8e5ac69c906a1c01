// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What the packages are made from agrees with the code, and the version is one everywhere. What the packages do is
//! tested in `tests/package/`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// The shipped configuration is what the code says, comments and all.
#[test]
fn the_shipped_configuration_is_generated() {
    let shipped = read("packaging/spvirt.conf");
    let example = spvirt::config::example();
    if shipped != example {
        let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("spvirt.conf");
        fs::write(&fresh, &example).unwrap();
        panic!(
            "packaging/spvirt.conf is not what src/config/keys.rs makes: cp {} packaging/spvirt.conf",
            fresh.display()
        );
    }
    for line in shipped.lines().filter(|line| !line.is_empty()) {
        assert!(line.starts_with('#'), "not commented out: {line}");
    }
}

/// Something unreleased: then Cargo's version is yet to come. Nothing: then it is the newest in the changelog.
#[test]
fn the_changelog_agrees_with_the_version() {
    let changelog = read("CHANGELOG.md");
    let sections: Vec<&str> = changelog.split("\n## [").skip(1).collect();
    let (unreleased, released) = sections.split_first().expect("sections");
    assert!(unreleased.starts_with("Unreleased]"), "the first section");
    let pending = unreleased.lines().skip(1).any(|line| !line.trim().is_empty());
    let own = version(env!("CARGO_PKG_VERSION"));
    match released.first() {
        Some(section) => {
            let (newest, date) = section
                .lines()
                .next()
                .unwrap()
                .split_once("] - ")
                .expect("[V] - DATE");
            assert_eq!(date.len(), "2026-11-24".len(), "date of {newest}");
            if pending {
                assert!(
                    own > version(newest),
                    "{own:?} is released, but something is unreleased"
                );
            } else {
                assert_eq!(own, version(newest), "Cargo.toml and the newest section");
            }
        }
        None => assert!(pending, "an empty changelog"),
    }
}

/// `packaging/version` says what Cargo says, with a suffix that sorts before the release as long as there is none.
#[test]
fn the_packages_carry_the_version() {
    let script = root().join("packaging/version");
    let run = |arguments: &[&str]| {
        let output = Command::new(&script)
            .args(arguments)
            .env_remove("SPVIRT_PACKAGE_VERSION")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(run(&["upstream"]), own);
    let package = run(&[]);
    let rest = package.strip_prefix(own).expect("Cargo's version first");
    assert!(rest.is_empty() || rest.starts_with("~git"), "{package}");
    assert!(run(&["epoch"]).parse::<u64>().unwrap() > 1_700_000_000);
}

/// The pages say which version they are about.
#[test]
fn the_man_pages_carry_the_version() {
    let wanted = format!("\"spvirt {}\"", env!("CARGO_PKG_VERSION"));
    let mut pages = 0;
    for page in fs::read_dir(root().join("packaging/man")).unwrap() {
        let path = page.unwrap().path();
        // What the pages are made from has its version put in.
        if path.extension().is_some_and(|it| it == "in") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let title = text.lines().find(|line| line.starts_with(".TH ")).unwrap();
        assert!(title.contains(&wanted), "{}: {title}", path.display());
        pages += 1;
    }
    assert!(pages >= 2, "{pages} pages");
}

/// `1.2.3` in the order of versions.
fn version(text: &str) -> Vec<u64> {
    text.split('.').map(|part| part.parse().expect(text)).collect()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
