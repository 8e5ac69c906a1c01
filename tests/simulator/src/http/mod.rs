// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! HTTP/1.0 and 1.1 as the API speaks it: one request per connection, the target kept as it stood on the wire.

pub mod request;
pub mod response;
