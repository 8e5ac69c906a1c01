// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The host's LVM: a guest's volume groups look to it like its own. Where it looks at the volumes, it may activate
//! what it finds, and then their detach fails for ever.

use regex_lite::Regex;

use super::Finding;

const TOPIC: &str = "host";
/// How LVM sees a volume where no real one is attached: it goes by any of the names.
const EXAMPLE: [&str; 3] = ["/dev/sp-0", "/dev/storpool/volume", "/dev/storpool-byid/a.b.c"];
const ADVICE: &str =
    "in /etc/lvm/lvm.conf, devices: global_filter = [ \"r|^/dev/(sp-|storpool)|\", \"a|.*|\" ]";

/// LVM's files, as far as there are any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lvm {
    /// `lvm.conf`
    pub main: Option<String>,
    /// `lvmlocal.conf`, which wins.
    pub local: Option<String>,
    /// `devices/system.devices`: where LVM has this file and uses it, it looks at nothing else.
    pub devices: Option<String>,
}

/// Judges what LVM's files let it look at.
#[must_use]
pub fn judge(lvm: &Lvm) -> Finding {
    let finding = Finding::pass(TOPIC, "that the host's LVM leaves the volumes alone");
    let Some(main) = &lvm.main else {
        return Finding::pass(
            TOPIC,
            "that the host's LVM leaves the volumes alone (there is none)",
        );
    };
    let mut settings = Settings::read(main);
    settings.extend(Settings::read(lvm.local.as_deref().unwrap_or_default()));
    let uses_file = match settings.last("use_devicesfile") {
        Some([word]) => word == "1",
        // The default is a matter of how LVM was built; where there is such a file, it is used.
        _ => lvm.devices.is_some(),
    };
    if let Some(devices) = lvm.devices.as_deref().filter(|_| uses_file) {
        let lists = devices.lines().any(|line| {
            let line = line.trim_start();
            !line.starts_with('#')
                && ["=/dev/sp-", "=/dev/storpool"]
                    .iter()
                    .any(|name| line.contains(name))
        });
        return if lists {
            finding.warn("/etc/lvm/devices/system.devices lists a volume of StorPool's: lvmdevices --deldev DEVICE, if a guest uses it")
        } else {
            finding
        };
    }
    let global = settings.last("global_filter").map(accepts);
    let local = settings.last("filter").map(accepts);
    match (global, local) {
        (Some(Ok(false)), _) => finding,
        (Some(Err(why)), _) | (None, Some(Err(why))) => {
            finding.warn(format!("its filter is not understood ({why}): check it by hand"))
        }
        (_, Some(Ok(false))) => finding.warn(format!("filter hides them, but not from udev: {ADVICE}")),
        _ => finding.warn(format!(
            "it looks at them, and may keep a guest's volume groups open: {ADVICE}"
        )),
    }
}

/// Whether a list of patterns (`a|...|` and `r|...|`) lets a volume through: each name goes by the first pattern that
/// fits it, and one accepted name is enough. What fits nothing is let through.
fn accepts(patterns: &[String]) -> Result<bool, String> {
    let mut rules = Vec::new();
    for pattern in patterns {
        let mut chars = pattern.chars();
        let (kind, begin) = (chars.next(), chars.next());
        let end = match begin {
            Some('(') => Some(')'),
            Some('[') => Some(']'),
            Some('{') => Some('}'),
            other => other,
        };
        let accept = match kind {
            Some('a') => true,
            Some('r') => false,
            _ => return Err(format!("{pattern:?}")),
        };
        let inner = end.and_then(|end| chars.as_str().strip_suffix(end));
        let regex = inner.and_then(|inner| Regex::new(inner).ok());
        rules.push((accept, regex.ok_or_else(|| format!("{pattern:?}"))?));
    }
    let verdict = |name: &str| {
        rules
            .iter()
            .find(|(_, regex)| regex.is_match(name))
            .map(|(accept, _)| *accept)
    };
    let verdicts = EXAMPLE.map(verdict);
    Ok(verdicts.contains(&Some(true)) || !verdicts.contains(&Some(false)))
}

/// The assignments of a file, in order: name without its section, and its values as words.
#[derive(Default)]
struct Settings(Vec<(String, Vec<String>)>);

impl Settings {
    /// Reads LVM's grammar: `name = value`, `name = [ value, ... ]`, sections in braces, comments after `#`, strings
    /// in quotes. What is not understood is passed over, as nothing here may fail.
    fn read(text: &str) -> Self {
        let mut found = Self::default();
        let mut words = words(text).into_iter().peekable();
        while let Some(word) = words.next() {
            if words.next_if(|next| next == "=").is_none() {
                continue;
            }
            let mut values = Vec::new();
            if words.next_if(|next| next == "[").is_some() {
                values.extend(
                    words
                        .by_ref()
                        .take_while(|word| word != "]")
                        .filter(|word| word != ","),
                );
            } else {
                values.extend(words.next());
            }
            let name = word.rsplit('/').next().unwrap_or_default().to_owned();
            let plain = |value: String| value.trim_matches('"').to_owned();
            found.0.push((name, values.into_iter().map(plain).collect()));
        }
        found
    }

    fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn last(&self, name: &str) -> Option<&[String]> {
        let found = self.0.iter().rev().find(|(found, _)| found == name);
        found.map(|(_, values)| values.as_slice())
    }
}

/// The words of a file in LVM's grammar, or multipath's: strings with their quotes, punctuation, everything else.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in text.lines() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '#' | '!' => break,
                '"' => rest
                    .get(1..)
                    .and_then(|rest| rest.find('"'))
                    .map_or(rest.len(), |at| at + 2),
                '{' | '}' | '[' | ']' | '=' | ',' => 1,
                _ => {
                    let ends = |c: char| c.is_whitespace() || "{}[]=,\"#".contains(c);
                    rest.find(ends).unwrap_or(rest.len())
                }
            };
            let (word, after) = rest.split_at(length);
            words.push(word.to_owned());
            rest = after.trim_start();
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Pass, Warn};
    use super::*;

    fn with(main: &str) -> Lvm {
        Lvm {
            main: Some(format!(
                "# the first line\nconfig {{\n}}\ndevices {{\n    {main}\n}}\n"
            )),
            ..Lvm::default()
        }
    }

    #[test]
    fn a_host_without_lvm_or_with_a_filter_passes() {
        assert_eq!(judge(&Lvm::default()).verdict, Pass);
        for filter in [
            r#"global_filter = [ "r|^/dev/(sp-|storpool)|", "a|.*|" ]"#,
            r#"global_filter = [ "a|^/dev/sd|", "r|.*|" ]"#,
            r#"global_filter = [ "r/.*/" ]"#,
            r#"global_filter="r|sp-|""#,
            "global_filter = [\n \"r{/dev/sp-[0-9]+}\",   # ours\n \"r|/dev/storpool|\" ]",
        ] {
            assert_eq!(judge(&with(filter)).verdict, Pass, "{filter}");
        }
    }

    #[test]
    fn a_filter_that_lets_volumes_through_is_seen() {
        for filter in [
            "",
            r#"# global_filter = [ "r|.*|" ]"#,
            r#"global_filter = [ "a|.*|" ]"#,
            r#"global_filter = [ "r|/dev/sda|" ]"#,
            r#"global_filter = [ "a|/dev/storpool/|", "r|.*|" ]"#,
            r#"filter = [ "r|.*|" ]"#,
            r#"global_filter = [ "x|.*|" ]"#,
            r#"global_filter = [ "r|(|" ]"#,
            r#"global_filter = [ "r" ]"#,
        ] {
            assert_eq!(judge(&with(filter)).verdict, Warn, "{filter}");
        }
        assert!(
            judge(&with(r#"filter = [ "r|.*|" ]"#))
                .advice
                .starts_with("filter hides them, but not from udev")
        );
    }

    #[test]
    fn the_local_file_wins() {
        let lvm = Lvm {
            local: Some(r#"devices/global_filter = [ "a|.*|" ]"#.into()),
            ..with(r#"global_filter = [ "r|.*|" ]"#)
        };
        assert_eq!(judge(&lvm).verdict, Warn);
    }

    #[test]
    fn a_list_of_devices_is_all_that_counts() {
        let devices = |main: &str, devices: &str| Lvm {
            devices: Some(devices.into()),
            ..with(main)
        };
        let disk = "VERSION=1.1.1\nIDTYPE=sys_wwid IDNAME=naa.5 DEVNAME=/dev/sda2 PVID=x\n";
        let ours = "IDTYPE=devname IDNAME=/dev/sp-3 DEVNAME=/dev/sp-3 PVID=x\n";
        assert_eq!(judge(&devices("", disk)).verdict, Pass);
        assert_eq!(judge(&devices("", ours)).verdict, Warn);
        assert_eq!(judge(&devices("", &format!("# {ours}"))).verdict, Pass);
        assert_eq!(judge(&devices("use_devicesfile = 0", disk)).verdict, Warn);
        assert_eq!(judge(&devices("use_devicesfile = 1", disk)).verdict, Pass);
    }
}
