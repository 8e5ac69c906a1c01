// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The hook: is the program there, does libvirt find it, once, and what else runs beside it?

use std::path::{Path, PathBuf};

use super::{FILE, Finding, Fix, Owned};

pub(super) const TOPIC: &str = "hook";
/// Where the hook is installed: AppArmor and SELinux let libvirt run programs from there.
pub const PROGRAM: &str = "/usr/sbin/spvirt-hook";
/// The link through which libvirt finds it.
pub const LINK: &str = "/etc/libvirt/hooks/qemu.d/50-storpool";
/// The first libvirt that looks into `qemu.d`, as libvirt counts.
const FIRST_WITH_FOLDERS: u32 = 6_005_000;

/// The program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// Nothing there.
    Missing,
    /// A file, a folder, a link.
    There {
        /// Owner and mode, behind any link.
        owned: Owned,
        /// What it says its version is, or why it says nothing.
        version: Result<String, String>,
    },
}

/// Something that libvirt may take for a hook: `hooks/qemu`, or an entry of `hooks/qemu.d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Where it is.
    pub path: PathBuf,
    /// What it says, if it is a link.
    pub link: Option<PathBuf>,
    /// An executable file, links followed: libvirt runs it.
    pub runs: bool,
    /// It is the hook, by whatever way: a link to it, or a copy.
    pub is_ours: bool,
    /// When the entry itself was last changed, in seconds since 1970.
    pub changed: i64,
}

impl Script {
    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// Judges the program, the scripts and what libvirt (of this version, as it counts) makes of them.
#[must_use]
pub fn judge(program: &Program, scripts: &[Script], libvirt: &Result<u32, String>) -> Vec<Finding> {
    let there = self::program(program);
    let may_link = there.verdict != super::Verdict::Fail;
    vec![
        there,
        link(scripts, may_link),
        others(scripts),
        version(scripts, libvirt),
    ]
}

fn program(program: &Program) -> Finding {
    let finding = Finding::pass(TOPIC, format!("that {PROGRAM} is installed"));
    let Program::There { owned, version } = program else {
        return finding.fail("there is no such file: install the package again");
    };
    let rights = owned.rights();
    if !owned.is(FILE) || rights & 0o111 == 0 {
        return finding.fail("it is not a program: install the package again");
    }
    if owned.uid != 0 || rights & 0o022 != 0 {
        return finding.fail(format!(
            "others than root can change it, and libvirt runs it as root: chown root {PROGRAM}; chmod 755 {PROGRAM}"
        ));
    }
    let ours = env!("CARGO_PKG_VERSION");
    match version {
        Ok(version) if version == ours => finding,
        Ok(version) => finding.warn(format!(
            "it is of version {version}, and this is spvirt {ours}: install the package again"
        )),
        Err(why) => finding.fail(format!("it cannot be run: {why}")),
    }
}

fn link(scripts: &[Script], may_link: bool) -> Finding {
    let finding = Finding::pass(TOPIC, "that libvirt finds the hook");
    let ours: Vec<_> = scripts
        .iter()
        .filter(|script| script.is_ours && script.runs)
        .collect();
    match ours.as_slice() {
        [] => {
            if let Some(broken) = scripts.iter().find(|script| script.path == Path::new(LINK)) {
                let leads = match &broken.link {
                    Some(target) => format!("leads to {}", target.display()),
                    None => "is no link".to_owned(),
                };
                return finding.fail(format!(
                    "{LINK} {leads} and is not the hook: ln -sfn {PROGRAM} {LINK}"
                ));
            }
            let finding = finding.fail(format!("there is no link: ln -s {PROGRAM} {LINK}"));
            if may_link {
                finding.fixed_by(Fix::Link)
            } else {
                finding
            }
        }
        [one] if one.link.is_none() && one.path != Path::new(PROGRAM) => finding.warn(format!(
            "{} is a copy, which updates do not reach: ln -sfn {PROGRAM} {}",
            one.path.display(),
            one.path.display()
        )),
        [_] => finding,
        [_, second, ..] => finding.fail(format!(
            "it runs {} times for every event: rm {}",
            ours.len(),
            second.path.display()
        )),
    }
}

/// libvirt runs everything that is executable there, whatever its name.
fn others(scripts: &[Script]) -> Finding {
    let others: Vec<_> = scripts
        .iter()
        .filter(|script| script.runs && !script.is_ours)
        .collect();
    let copies: Vec<_> = others
        .iter()
        .filter(|script| is_backup(&script.name()))
        .map(|script| script.path.display().to_string())
        .collect();
    let names: Vec<_> = others.iter().map(|script| script.name()).collect();
    let beside = if names.is_empty() {
        String::new()
    } else {
        format!(" ({})", super::some_of(&names))
    };
    let finding = Finding::pass(TOPIC, format!("the other hooks of libvirt{beside}"));
    if copies.is_empty() {
        finding
    } else {
        finding.warn(format!("libvirt runs backup copies too: rm {}", copies.join(" ")))
    }
}

/// What editors and package managers leave beside a file, with the same rights.
fn is_backup(name: &str) -> bool {
    const ENDINGS: [&str; 12] = [
        "~",
        ".bak",
        ".old",
        ".orig",
        ".save",
        ".swp",
        ".tmp",
        ".disabled",
        ".rpmnew",
        ".rpmorig",
        ".rpmsave",
        ".ucf-old",
    ];
    name.starts_with('.') || name.contains(".dpkg-") || ENDINGS.iter().any(|end| name.ends_with(end))
}

fn version(scripts: &[Script], libvirt: &Result<u32, String>) -> Finding {
    let finding = |version: &str| Finding::pass(TOPIC, format!("that libvirt{version} looks into qemu.d"));
    let version = match libvirt {
        Ok(version) => *version,
        Err(why) => return finding("").warn(format!("libvirt does not say its version: {why}")),
    };
    let shown = format!(
        " {}.{}.{}",
        version / 1_000_000,
        version / 1000 % 1000,
        version % 1000
    );
    let finding = finding(&shown);
    if version >= FIRST_WITH_FOLDERS {
        return finding;
    }
    let main = scripts
        .iter()
        .find(|script| script.name() == "qemu" && script.runs);
    match main {
        Some(main) if main.is_ours => finding,
        Some(main) => finding.warn(format!(
            "it does not before 6.5: does {} run {PROGRAM}?",
            main.path.display()
        )),
        None => finding.fail(format!(
            "it does not before 6.5: ln -s {PROGRAM} /etc/libvirt/hooks/qemu"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{self, Fail, Pass, Warn};
    use super::*;

    fn there(mode: u32, uid: u32, version: Result<&str, &str>) -> Program {
        Program::There {
            owned: Owned {
                path: PROGRAM.into(),
                mode,
                uid,
            },
            version: version.map(str::to_owned).map_err(str::to_owned),
        }
    }

    fn good() -> Program {
        there(FILE | 0o755, 0, Ok(env!("CARGO_PKG_VERSION")))
    }

    fn script(name: &str, link: Option<&str>, runs: bool, is_ours: bool) -> Script {
        Script {
            path: Path::new("/etc/libvirt/hooks/qemu.d").join(name),
            link: link.map(PathBuf::from),
            runs,
            is_ours,
            changed: 0,
        }
    }

    fn ours() -> Script {
        script("50-storpool", Some(PROGRAM), true, true)
    }

    fn verdicts(program: &Program, scripts: &[Script], libvirt: u32) -> Vec<Verdict> {
        let findings = judge(program, scripts, &Ok(libvirt));
        findings.iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn an_installed_hook_passes() {
        let scripts = [
            script("10-net", None, true, false),
            ours(),
            script("README", None, false, false),
        ];
        assert_eq!(verdicts(&good(), &scripts, 9_000_000), [Pass; 4]);
        let said = judge(&good(), &scripts, &Ok(11_003_000));
        assert_eq!(said[2].what, "the other hooks of libvirt (10-net)");
        assert_eq!(said[3].what, "that libvirt 11.3.0 looks into qemu.d");
    }

    #[test]
    fn a_program_that_is_not_the_packages_is_seen() {
        for (program, verdict) in [
            (Program::Missing, Fail),
            (there(FILE | 0o644, 0, Err("")), Fail),
            (there(super::super::FOLDER | 0o755, 0, Err("")), Fail),
            (there(FILE | 0o775, 0, Ok(env!("CARGO_PKG_VERSION"))), Fail),
            (there(FILE | 0o755, 7, Ok(env!("CARGO_PKG_VERSION"))), Fail),
            (there(FILE | 0o755, 0, Err("Exec format error")), Fail),
            (there(FILE | 0o755, 0, Ok("0.0.1")), Warn),
        ] {
            assert_eq!(
                verdicts(&program, &[ours()], 9_000_000)[0],
                verdict,
                "{program:?}"
            );
        }
    }

    #[test]
    fn a_missing_link_is_made_where_there_is_a_program() {
        let fix = |program: &Program| judge(program, &[], &Ok(9_000_000))[1].fix.clone();
        assert_eq!(fix(&good()), Some(Fix::Link));
        assert_eq!(fix(&Program::Missing), None);
    }

    #[test]
    fn a_wrong_link_a_copy_and_a_second_one_are_seen() {
        let link = |scripts: &[Script]| {
            let finding = judge(&good(), scripts, &Ok(9_000_000)).swap_remove(1);
            (finding.verdict, finding.advice, finding.fix)
        };
        for broken in [
            script("50-storpool", Some("/usr/lib/gone"), false, false),
            script("50-storpool", None, true, false),
        ] {
            let (verdict, advice, fix) = link(&[broken]);
            assert_eq!(
                (verdict, fix),
                (Fail, None),
                "somebody put it there: not ours to remove"
            );
            assert!(advice.contains("ln -sfn"), "{advice}");
        }
        assert_eq!(link(&[script("50-storpool", None, true, true)]).0, Warn);
        let (verdict, advice, _) = link(&[ours(), script("50-storpool.dpkg-old", None, true, true)]);
        assert_eq!(verdict, Fail);
        assert_eq!(
            advice,
            "it runs 2 times for every event: rm /etc/libvirt/hooks/qemu.d/50-storpool.dpkg-old"
        );
    }

    #[test]
    fn backup_copies_that_run_are_seen() {
        for name in [
            "10-net~",
            "10-net.rpmsave",
            ".10-net.swp",
            "10-net.dpkg-dist",
            ".hidden",
        ] {
            let found = others(&[script(name, None, true, false), ours()]);
            assert_eq!(found.verdict, Warn, "{name}");
            assert_eq!(
                others(&[script(name, None, false, false)]).verdict,
                Pass,
                "{name} does not run"
            );
        }
        assert_eq!(others(&[script("60-backup", None, true, false)]).verdict, Pass);
    }

    #[test]
    fn an_old_libvirt_needs_the_main_hook() {
        let main = |is_ours| Script {
            path: "/etc/libvirt/hooks/qemu".into(),
            ..script("qemu", None, true, is_ours)
        };
        assert_eq!(verdicts(&good(), &[ours()], 6_004_000)[3], Fail);
        assert_eq!(verdicts(&good(), &[main(true)], 6_004_000)[3], Pass);
        assert_eq!(verdicts(&good(), &[main(false), ours()], 6_004_000)[3], Warn);
        let silent = judge(&good(), &[ours()], &Err("no answer".into()));
        assert_eq!(silent[3].verdict, Warn);
    }
}
