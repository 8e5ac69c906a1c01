// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The grammar of names and ids, as the API's own bindings state it.

/// Longest name of an object, in bytes.
const NAME_MAX: usize = 199;

fn plain(text: &str, extra: &[u8]) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
}

fn reserved(text: &str) -> bool {
    matches!(text, "list" | "status")
}

/// A name one may choose for a volume or a snapshot: `#?[A-Za-z0-9_.:-]+`, at most 199 bytes, not reserved.
pub fn is_volume_name(text: &str) -> bool {
    text.len() <= NAME_MAX && !reserved(text) && plain(text.strip_prefix('#').unwrap_or(text), b"_.:-")
}

/// A name a snapshot may bear: `*` in front while it is being deleted, `@` where the server chose it.
pub fn is_snapshot_name(text: &str) -> bool {
    text.len() <= NAME_MAX && !reserved(text) && plain(text.strip_prefix('*').unwrap_or(text), b"_.:@-")
}

/// `location.cluster.number`, without `~`.
pub fn is_global_id(text: &str) -> bool {
    let part = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.split('.').count() == 3 && text.split('.').all(part)
}

/// Name of a template or placement group.
pub fn is_template_name(text: &str) -> bool {
    text.len() <= NAME_MAX && text != "list" && plain(text, b"_-")
}

/// Name of a tag.
pub fn is_tag_name(text: &str) -> bool {
    text.len() <= NAME_MAX && plain(text, b"_.:-")
}

/// Value of a tag: as its name, or empty.
pub fn is_tag_value(text: &str) -> bool {
    text.is_empty() || is_tag_name(text)
}

/// `number` in base 36, as the last part of a global id.
pub fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % 36).unwrap_or(0);
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_bindings_names() {
        for good in ["a", "#x", "a.b.c", "a:b-c_d", &"a".repeat(199)] {
            assert!(is_volume_name(good), "{good}");
        }
        for bad in [
            "",
            "#",
            "a@1",
            "*a",
            "list",
            "status",
            "a b",
            "a\n",
            "~a.b.c",
            &"a".repeat(200),
        ] {
            assert!(!is_volume_name(bad), "{bad}");
        }
        for good in ["a@1", "@1", "*a", "*a@1"] {
            assert!(is_snapshot_name(good), "{good}");
        }
        assert!(!is_snapshot_name("#a"));
        assert!(is_global_id("d.n.a1z"));
        for bad in ["d.n", "d.n.A", "d..n", "d.n.a.b", "~d.n.a"] {
            assert!(!is_global_id(bad), "{bad}");
        }
    }

    #[test]
    fn base36_counts() {
        assert_eq!(base36(0), "0");
        assert_eq!(base36(35), "z");
        assert_eq!(base36(36), "10");
    }
}
