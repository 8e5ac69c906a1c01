// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The walls between the rooms of the house, as ARCHITECTURE.md draws them: who may touch what, how large a file
//! may be, what the hook may be built from.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file past this is two rooms.
const LINES_MAX: usize = 450;

/// What the hook is built from, itself included. Before this is raised somebody should know what for.
const HOOK_CRATES_MAX: usize = 84;

/// Decide, and do nothing else: no I/O, clock, log, environment.
const PURE: &[&str] = &[
    "src/api/mod.rs",
    "src/api/wire.rs",
    "src/claim/file.rs",
    "src/claim/mod.rs",
    "src/domain/",
    "src/event.rs",
    "src/health.rs",
    "src/plan.rs",
    "src/policy.rs",
    "src/preview.rs",
    "src/reconcile.rs",
    "src/refusal.rs",
    "src/refusal/",
    "src/release/intent.rs",
    "src/report.rs",
    "src/volume.rs",
];

/// What a pure room must not speak of.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "log::",
    "crate::device",
    "crate::host",
    "crate::journal",
    "crate::sys",
];

/// Things that only some rooms may touch, with those rooms.
const KEYS: &[(&str, &[&str])] = &[
    ("nix::", &["src/sys.rs"]),
    ("virt::", &["src/ctl/libvirt.rs", "src/ctl/libvirt/domains.rs"]),
    ("reqwest", &["src/api/transport.rs"]),
    ("quick_xml", &["src/domain/tokens.rs"]),
    // One function sends every change of attachments.
    (
        "reassign(",
        &[
            "src/api/client.rs",
            "src/execute.rs",
            "src/host.rs",
            "src/world.rs",
        ],
    ),
    (
        "std::fs",
        &[
            "src/claim/lock.rs",
            "src/claim/store.rs",
            "src/config/files.rs",
            "src/device.rs",
            "src/persist.rs",
            "src/sys.rs",
        ],
    ),
    (
        "std::process",
        &["hooks/qemu/main.rs", "src/ctl/main.rs", "src/hook.rs"],
    ),
    ("std::env", &["hooks/qemu/main.rs", "src/ctl/main.rs"]),
    ("std::net", &["src/config/mod.rs"]),
    (
        "std::thread",
        &[
            "src/api/client.rs",
            "src/claim/lock.rs",
            "src/ctl/libvirt.rs",
            "src/hook.rs",
            "src/host.rs",
        ],
    ),
    (
        "Instant::now",
        &[
            "src/api/client.rs",
            "src/claim/lock.rs",
            "src/ctl/boot.rs",
            "src/ctl/main.rs",
            "src/deadline.rs",
            "src/hook.rs",
            "src/host.rs",
        ],
    ),
];

/// Names that say nothing about what is inside.
const NO_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];

#[test]
fn every_room_touches_only_what_it_may() {
    let files = product_files();
    assert!(files.len() > 30, "{files:?}");
    for room in PURE {
        assert!(
            files.iter().any(|file| file.starts_with(room)),
            "{room} is gone: tell this test"
        );
    }
    for (what, rooms) in KEYS {
        for room in *rooms {
            assert!(
                files.iter().any(|file| file == room),
                "{room} is gone: tell this test"
            );
            let text = read(room);
            assert!(
                mentions(&code(&text), what),
                "{room} has no more need of {what}: take the key away"
            );
        }
    }
    let trespasses: Vec<_> = files
        .iter()
        .flat_map(|file| trespasses(file, &read(file)))
        .collect();
    assert!(trespasses.is_empty(), "{}", trespasses.join("\n"));
}

#[test]
fn a_trespass_is_seen() {
    let seen = |file, text| trespasses(file, text).len();
    assert_eq!(seen("src/plan.rs", "use std::fs;"), 2, "no key, and not pure");
    assert_eq!(
        seen("src/plan.rs", "//! std::fs\n/// log::info\n"),
        0,
        "words are free"
    );
    assert_eq!(seen("src/plan.rs", "#[cfg(test)]\nmod tests { use std::fs; }"), 0);
    assert_eq!(seen("src/plan.rs", "log::info!(\"x\")"), 1);
    assert_eq!(seen("src/domain/scan.rs", "let t = Instant::now();"), 2);
    assert_eq!(seen("src/hook.rs", "use virt::connect::Connect;"), 1);
    assert_eq!(seen("src/hook.rs", "spvirt::hook::run()"), 0, "another word");
    assert_eq!(
        seen("src/release.rs", "use std::{fs, io};"),
        1,
        "hides what it takes"
    );
    assert_eq!(seen("src/sys.rs", "let x = unsafe { f() };"), 1);
}

#[test]
fn files_are_small_and_have_telling_names() {
    for file in rust_files(&["src", "hooks", "tests"]) {
        let lines = read(&file).lines().count();
        assert!(
            lines <= LINES_MAX,
            "{file} has {lines} lines: past {LINES_MAX} a file is two rooms"
        );
        let name = Path::new(&file).file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(
            !NO_NAMES.contains(&name.as_str()),
            "{file}: the name says nothing"
        );
    }
}

#[test]
fn every_file_says_whose_it_is() {
    let mut files = rust_files(&["src", "hooks", "tests"]);
    files.extend(files_below(&["tests", ".ci"], |path| {
        path.extension().is_some_and(|e| e == "py")
            || fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"#!"))
    }));
    files.extend(["Makefile", "Cargo.toml", "deny.toml"].map(str::to_owned));
    for file in files {
        let text = read(&file);
        let head: Vec<&str> = text.lines().take(6).collect();
        let has = |words: &str| head.iter().any(|line| line.contains(words));
        // Put together here, or a tool would take the words for the licence of this line.
        assert!(
            has(&format!("SPDX-{}", "FileCopyrightText: 2026 the spvirt authors")),
            "{file}"
        );
        assert!(
            has(&format!("SPDX-{}", "License-Identifier: LGPL-2.1-or-later")),
            "{file}"
        );
    }
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let root = read("Cargo.toml");
    assert!(root.contains("unsafe_code = \"forbid\""));
    let members: Vec<_> = root
        .lines()
        .find_map(|line| line.strip_prefix("members = "))
        .expect("the members of the workspace, in one line")
        .split('"')
        .filter(|word| word.starts_with("tests/") || *word == ".")
        .collect();
    assert!(members.len() > 2, "{members:?}");
    for member in members {
        let manifest = read(&format!("{member}/Cargo.toml"));
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{member}: the lints are not inherited"
        );
    }
}

#[test]
fn the_hook_is_built_from_little_and_without_libvirt() {
    let crates = crates_of_the_hook();
    assert!(crates.iter().any(|name| name == "reqwest"), "{crates:?}");
    for banned in [
        "virt",
        "virt-sys",
        "clap",
        "openssl-sys",
        "native-tls",
        "rustls",
        "libsystemd-sys",
    ] {
        assert!(
            !crates.iter().any(|name| name == banned),
            "the hook is built from {banned}"
        );
    }
    let count = crates.len();
    assert!(
        count <= HOOK_CRATES_MAX,
        "the hook is built from {count} crates, {HOOK_CRATES_MAX} are allowed: {}",
        crates.join(" ")
    );
    let manifest = read("Cargo.toml");
    let helper_only = ["clap", "comfy-table", "env_logger", "virt"];
    for name in helper_only {
        let line = manifest
            .lines()
            .find(|line| line.starts_with(&format!("{name} = ")));
        assert!(
            line.is_some_and(|line| line.contains("optional = true")),
            "{name} must be optional"
        );
    }
}

/// Everything in one file that is not its business.
fn trespasses(file: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let mut found = Vec::new();
    for (what, rooms) in KEYS {
        if mentions(&code, what) && !rooms.contains(&file) {
            found.push(format!("{file}: {what} is only for {}", rooms.join(", ")));
        }
    }
    if PURE.iter().any(|room| file.starts_with(room)) {
        for what in IMPURE {
            if mentions(&code, what) {
                found.push(format!("{file} is pure and must not speak of {what}"));
            }
        }
    }
    if code.contains("use std::{") {
        found.push(format!(
            "{file}: one `use` per module of std, so that this test sees it"
        ));
    }
    if mentions(&code, "unsafe") {
        found.push(format!("{file}: unsafe"));
    }
    found
}

/// The lines that are compiled into the product: no comments, nothing from the unit tests on (they stand last).
fn code(text: &str) -> String {
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]");
    let code = lines.filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| [line, "\n"]).collect()
}

/// Whether `word` stands in `code`, and not as the end of a longer word.
fn mentions(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// Names of the crates in the hook.
fn crates_of_the_hook() -> Vec<String> {
    let arguments = "tree --locked --offline --package spvirt --no-default-features --edges normal --prefix none --format {p}";
    let output = Command::new(env!("CARGO"))
        .args(arguments.split(' '))
        .current_dir(root())
        .output()
        .expect("cargo");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    let mut crates: Vec<_> = lines
        .lines()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>())
        .collect();
    crates.sort_unstable();
    crates.dedup();
    crates.into_iter().map(|words| words[0].to_owned()).collect()
}

fn product_files() -> Vec<String> {
    rust_files(&["src", "hooks"])
}

fn rust_files(folders: &[&str]) -> Vec<String> {
    files_below(folders, |path| path.extension().is_some_and(|e| e == "rs"))
}

/// Files below `folders`, relative to the root, sorted.
fn files_below(folders: &[&str], wanted: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if wanted(&path) {
                files.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
