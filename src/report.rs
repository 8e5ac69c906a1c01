// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! The one line a failing hook prints. libvirt shows it to whoever typed `virsh start`, on whatever host that
//! was, without saying where the hook ran: so it names the host. Pure.

/// Longest line, in bytes. libvirt copies it into its RPC errors and logs; megabytes there cut the client off.
const LINE_MAX: usize = 1000;

/// `spvirt: HOST: DOMAIN: WHAT`, on one line whatever the parts hold.
#[must_use]
pub fn line(host: &str, domain: &str, what: &str) -> String {
    let mut line = String::new();
    for c in format!("spvirt: {host}: {domain}: {what}").chars() {
        if line.len() + 12 > LINE_MAX {
            line.push_str("...");
            break;
        }
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_line_of_bounded_length() {
        assert_eq!(line("hosta", "web1", "no"), "spvirt: hosta: web1: no");
        assert_eq!(
            line("h", "a\nb\x1b[1m", "x\r"),
            "spvirt: h: a\\nb\\u{1b}[1m: x\\r"
        );
        let long = line("h", &"ä".repeat(4000), "end");
        assert!(long.len() <= LINE_MAX && long.ends_with("..."), "{}", long.len());
    }
}
