// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Links the unwinder into the hook instead of having it loaded at every start.
//!
//! The standard library asks for `libgcc_s`, the shared unwinder. Finding, mapping and relocating it takes as long as
//! a tenth of all that the hook does for a domain without StorPool volumes (`docs/numbers.md`). GCC brings the same
//! code as an archive, `libgcc_eh`: a linker script of the name that is asked for leads there. The hook alone gets
//! it; `spvirt` has libvirt's dozens of libraries beside it anyway.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |key: &str, value: &str| env::var(key).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        let folder = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
        fs::write(folder.join("libgcc_s.so"), "INPUT(-lgcc_eh -lgcc)\n")?;
        println!("cargo::rustc-link-arg-bin=spvirt-hook=-L{}", folder.display());
    }
    Ok(())
}
