// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! StorPool volumes for plain libvirt: the library behind `spvirt-hook` and `spvirt`.
//!
//! See `ARCHITECTURE.md` for the map of the modules and the rules between them.

pub mod acquire;
pub mod adopt;
pub mod api;
pub mod claim;
pub mod config;
pub mod deadline;
pub mod device;
pub mod domain;
pub mod down;
pub mod event;
pub mod execute;
pub mod explain;
pub mod fence;
pub mod foresee;
pub mod health;
pub mod hook;
pub mod host;
pub mod journal;
pub mod neighbours;
pub mod persist;
pub mod plan;
pub mod policy;
pub mod preview;
pub mod reconcile;
pub mod refusal;
pub mod release;
pub mod report;
pub mod sys;
pub mod ticket;
pub mod volume;
pub mod world;
