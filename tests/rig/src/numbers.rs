// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! What [`Guest::Numbers`](crate::Guest::Numbers) has written, read behind everybody's back from the file that is the
//! volume: a write that got lost, came twice or went to the wrong place is a sector with a wrong number.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

/// Size of a sector in bytes.
const SECTOR: u64 = 512;
/// Sectors of one request of the guest: the last one may be there in part.
const REQUEST: u64 = 32;
/// Sectors that a file system stores together.
const BLOCK: u64 = 8;

/// The sectors of one volume.
#[derive(Debug)]
pub struct Numbers {
    file: File,
}

impl Numbers {
    /// Those of the volume that is this file.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        let file = File::open(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        Self { file }
    }

    /// How many sectors are there, counted from sector 1: all of them right, and nothing behind them.
    ///
    /// # Panics
    /// When one is missing, or is not what it should be. The guest may go on meanwhile.
    #[must_use]
    #[track_caller]
    pub fn complete(&self) -> u64 {
        // Before the sectors are read: the guest may write more while they are.
        let end = self.end_of_data();
        let mut count = 0;
        let mut sectors = vec![0; 1 << 20];
        'all: loop {
            let at = (count + 1) * SECTOR;
            let length = self.file.read_at(&mut sectors, at).expect("the volume's file");
            for sector in sectors[..length].chunks_exact(512) {
                let number = u32::try_from(count + 1).expect("a small volume").to_le_bytes();
                if !sector.chunks_exact(4).all(|word| word == number) {
                    break 'all;
                }
                count += 1;
            }
            if length < 512 {
                break;
            }
        }
        assert!(
            count + 1 + REQUEST + BLOCK >= end,
            "sector {} is not what the guest has written there, but there is data up to sector {end}: it holds {:?}",
            count + 1,
            self.words(count + 1)
        );
        count
    }

    /// Whether the guest has written this sector.
    #[must_use]
    pub fn reached(&self, sector: u64) -> bool {
        u64::from(self.words(sector)[0]) == sector
    }

    /// The first words of a sector.
    fn words(&self, sector: u64) -> [u32; 4] {
        let mut bytes = [0; 16];
        self.file
            .read_exact_at(&mut bytes, sector * SECTOR)
            .expect("the volume's file");
        std::array::from_fn(|i| u32::from_le_bytes(bytes[i * 4..][..4].try_into().expect("four bytes")))
    }

    /// The sector behind the last that the file holds and does not skip.
    fn end_of_data(&self) -> u64 {
        let mut end = 0;
        loop {
            match lseek(self.file.as_fd(), end, Whence::SeekData) {
                Ok(data) => {
                    end = lseek(self.file.as_fd(), data, Whence::SeekHole).expect("a hole at the end");
                }
                Err(Errno::ENXIO) => return u64::try_from(end).expect("an offset") / SECTOR,
                Err(e) => panic!("the volume's file: {e}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sparse volume with these sectors.
    fn volume(sectors: impl IntoIterator<Item = (u32, u32)>) -> Numbers {
        let file = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
        file.as_file().set_len(64 << 20).unwrap();
        for (sector, number) in sectors {
            let content: Vec<u8> = number.to_le_bytes().repeat(128);
            file.as_file()
                .write_all_at(&content, u64::from(sector) * SECTOR)
                .unwrap();
        }
        file.as_file().sync_all().unwrap();
        Numbers::of(file.path())
    }

    #[test]
    fn complete_and_in_order() {
        assert_eq!(volume([]).complete(), 0);
        let numbers = volume((1..=5000).map(|n| (n, n)));
        assert_eq!(numbers.complete(), 5000);
        assert!(numbers.reached(5000) && !numbers.reached(5001));
    }

    #[test]
    #[should_panic(expected = "sector 2000 is not what the guest has written there")]
    fn a_lost_sector() {
        let _ = volume((1..=5000).filter(|n| *n != 2000).map(|n| (n, n))).complete();
    }

    #[test]
    #[should_panic(expected = "it holds [7, 7, 7, 7]")]
    fn a_sector_of_another_moment() {
        let _ = volume((1..=5000).map(|n| (n, if n == 2000 { 7 } else { n }))).complete();
    }

    #[test]
    #[should_panic(expected = "sector 1001 is not what the guest has written there")]
    fn a_gap() {
        let _ = volume((1..=1000).chain(60_000..60_001).map(|n| (n, n))).complete();
    }
}
