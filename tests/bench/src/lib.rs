// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What the benches share: times that are measured in turn, and a report that says which bounds hold.

#![allow(clippy::indexing_slicing, clippy::print_stdout)]

pub mod report;
pub mod sample;
