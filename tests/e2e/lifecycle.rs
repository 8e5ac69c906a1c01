// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Every way a domain's life begins and ends.

use spvirt_rig::{Guest, Suite};

use crate::stage::Stage;

/// The cases of this file.
pub fn cases(suite: Suite<Stage>) -> Suite<Stage> {
    suite.shared("start and destroy take 2 requests and 1", start_and_destroy)
}

fn start_and_destroy(stage: &mut Stage) {
    stage.domain("web1", Guest::Idle);
    assert_eq!(stage.start("web1"), ["VolumesReassignWait", "AttachmentsList"]);
    assert_eq!(stage.phase(), "live");
    stage.only_attached(&["web1 rw"]);
    stage.cluster.forget_requests();
    let _ = stage.host.virsh(&["destroy", "web1"]).ok();
    assert_eq!(stage.calls(), ["VolumesReassignWait"]);
    stage.nothing_is_left();
}
