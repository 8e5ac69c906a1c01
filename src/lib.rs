// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! StorPool volumes for plain libvirt: the library behind `spvirt-hook` and `spvirt`.
//!
//! See `ARCHITECTURE.md` for the map of the modules and the rules between them.

pub mod config;
pub mod volume;
