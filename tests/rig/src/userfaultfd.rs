// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What post-copy migration needs of the machine.

use std::fs;

/// QEMU fetches missing memory in the kernel's page faults, and runs without the right to.
const SWITCH: &str = "/proc/sys/vm/unprivileged_userfaultfd";

/// Keeps post-copy migration possible.
#[derive(Debug)]
pub struct PostCopyAllowed {
    was: String,
}

/// Makes post-copy migration possible until the guard goes. The switch is the whole machine's: there is one kernel.
#[must_use]
pub fn post_copy_allowed() -> PostCopyAllowed {
    let was = fs::read_to_string(SWITCH).unwrap_or_else(|e| panic!("{SWITCH}: {e}"));
    fs::write(SWITCH, "1").expect("post-copy switched on");
    PostCopyAllowed { was }
}

impl Drop for PostCopyAllowed {
    fn drop(&mut self) {
        let _ = fs::write(SWITCH, &self.was);
    }
}
