// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Guests small enough to read: one boot sector of real-mode code each, no operating system.

/// Size of a boot sector in bytes.
const SECTOR: usize = 512;

/// What the guest on a boot volume does. The firmware loads the sector to 0x7c00 and jumps there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// Sleeps for ever.
    Idle,
    /// Powers itself off after about this many timer ticks (18.2 a second, at least 1).
    PowerOff(u16),
    /// Powers itself off when the ACPI power button is pressed, as `virsh shutdown` does.
    Button,
    /// Resets itself once, after about this many timer ticks, and so on after each boot.
    Reset(u16),
    /// Rewrites 512 KiB of its memory for ever: with a low `--bandwidth` its migration never ends.
    Dirty,
    /// Writes numbered sectors to its boot disk, at most some thousand a second: sector N is full of the number N,
    /// in order from 1. Stops at the first write that fails. Rewrites its memory as [`Guest::Dirty`] does.
    Numbers,
    /// No boot sector: a data volume.
    None,
}

impl Guest {
    /// The boot sector; nothing for a data volume.
    #[must_use]
    pub fn boot_sector(self) -> Option<Vec<u8>> {
        let mut sector = match self {
            Self::Idle => [STI, HALT_FOR_EVER].concat(),
            Self::PowerOff(ticks) => [&ticks_pass(ticks)[..], POWER_OFF, HALT_FOR_EVER].concat(),
            Self::Button => [BUTTON_PRESSED, POWER_OFF, HALT_FOR_EVER].concat(),
            Self::Reset(ticks) => [&ticks_pass(ticks)[..], RESET, HALT_FOR_EVER].concat(),
            Self::Dirty => DIRTY.to_vec(),
            Self::Numbers => NUMBERS.to_vec(),
            Self::None => return None,
        };
        sector.resize(SECTOR - 2, 0);
        sector.extend([0x55, 0xaa]); // what makes a sector bootable
        Some(sector)
    }
}

const STI: &[u8] = &[0xfb]; // sti

const HALT_FOR_EVER: &[u8] = &[
    0xf4, // again: hlt
    0xeb, 0xfd, //  jmp again
];

/// `times` interrupts pass; the only regular one is the timer's.
fn ticks_pass(times: u16) -> Vec<u8> {
    let [low, high] = times.max(1).to_le_bytes();
    vec![
        0xfb, //           sti
        0xb9, low, high, // mov cx, times
        0xf4, // again:    hlt
        0xe2, 0xfd, //     loop again
    ]
}

/// ACPI: `SLP_EN` with sleep type 0 in the control register, which `SeaBIOS` puts at 0x604 on machine type `pc`.
const POWER_OFF: &[u8] = &[
    0xba, 0x04, 0x06, // mov dx, 0x604
    0xb8, 0x00, 0x20, // mov ax, 0x2000
    0xef, //             out dx, ax
];

/// ACPI: the button's bit in the enable register (0x602), without which the chip set ignores it, then its bit in the
/// status register (0x600), looked at after each timer interrupt.
const BUTTON_PRESSED: &[u8] = &[
    0xfb, //             sti
    0xba, 0x02, 0x06, // mov dx, 0x602
    0xb8, 0x00, 0x01, // mov ax, 0x100
    0xef, //             out dx, ax
    0xba, 0x00, 0x06, // mov dx, 0x600
    0xf4, // again:      hlt
    0xed, //             in ax, dx
    0xf6, 0xc4, 0x01, // test ah, 1
    0x74, 0xf9, //       jz again
];

/// The reset control register of the PIIX chip set.
const RESET: &[u8] = &[
    0xba, 0xf9, 0x0c, // mov dx, 0xcf9
    0xb0, 0x06, //       mov al, 6
    0xee, //             out dx, al
];

/// Segments 0x1000 to 0x8000 filled with a value that grows, over and over.
const DIRTY: &[u8] = &[
    0xbb, 0x00, 0x10, // round:   mov bx, 0x1000
    0x8e, 0xc3, //       segment: mov es, bx
    0x31, 0xff, //                xor di, di
    0xb9, 0x00, 0x80, //          mov cx, 0x8000
    0x40, //                      inc ax
    0xf3, 0xab, //                rep stosw
    0x80, 0xc7, 0x10, //          add bh, 0x10
    0x80, 0xff, 0x90, //          cmp bh, 0x90
    0x75, 0xee, //                jne segment
    0xeb, 0xe9, //                jmp round
];

/// The sectors go out through the firmware, several in one request, as each request costs it milliseconds on a busy
/// machine. After some requests the memory is rewritten, and the next timer interrupt waited for.
const NUMBERS: &[u8] = &[
    0x31, 0xc0, //                         xor ax, ax
    0x8e, 0xd8, //                         mov ds, ax
    0x8e, 0xd0, //                         mov ss, ax
    0xbc, 0x00, 0x7c, //                   mov sp, 0x7c00
    0xfb, //                               sti
    0xfc, //                               cld
    0xbd, 0x08, 0x00, //         tick:     mov bp, 8
    0x31, 0xc0, //               request:  xor ax, ax
    0x8e, 0xc0, //                         mov es, ax
    0x66, 0xa1, 0x65, 0x7c, //             mov eax, [first]
    0xbf, 0x00, 0x80, //                   mov di, 0x8000
    0xb9, 0x80, 0x00, //         sector:   mov cx, 128
    0x66, 0xf3, 0xab, //                   rep stosd
    0x66, 0x40, //                         inc eax
    0x81, 0xff, 0x00, 0xc0, //             cmp di, 0xc000
    0x75, 0xf2, //                         jne sector
    0xbe, 0x5d, 0x7c, //                   mov si, packet
    0xb2, 0x80, //                         mov dl, 0x80
    0xb8, 0x00, 0x43, //                   mov ax, 0x4300
    0xcd, 0x13, //                         int 0x13
    0x72, 0x27, //                         jc stop
    0x83, 0x06, 0x65, 0x7c, 0x20, //       add word [first], 32
    0x83, 0x16, 0x67, 0x7c, 0x00, //       adc word [first + 2], 0
    0x4d, //                               dec bp
    0x75, 0xce, //                         jnz request
    0xbb, 0x00, 0x10, //                   mov bx, 0x1000
    0x8e, 0xc3, //               segment:  mov es, bx
    0x31, 0xff, //                         xor di, di
    0xb9, 0x00, 0x80, //                   mov cx, 0x8000
    0xa1, 0x65, 0x7c, //                   mov ax, [first]
    0xf3, 0xab, //                         rep stosw
    0x80, 0xc7, 0x10, //                   add bh, 0x10
    0x80, 0xff, 0x90, //                   cmp bh, 0x90
    0x75, 0xec, //                         jne segment
    0xf4, //                               hlt
    0xeb, 0xb1, //                         jmp tick
    0xf4, //                     stop:     hlt
    0xeb, 0xfd, //                         jmp stop
    0x10, 0x00, 0x20, 0x00, //   packet:   its size, 32 sectors
    0x00, 0x80, 0x00, 0x00, //             memory: 0000:8000
    0x01, 0x00, 0x00, 0x00, //   first:    sector, and the number to write there
    0x00, 0x00, 0x00, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a two-byte jump at `at` leads.
    fn jump(code: &[u8], at: usize) -> i64 {
        i64::try_from(at).unwrap() + 2 + i64::from(i8::from_le_bytes([code[at + 1]]))
    }

    #[test]
    fn jumps_lead_where_the_comments_say() {
        assert_eq!(jump(HALT_FOR_EVER, 1), 0);
        assert_eq!(jump(&ticks_pass(7), 5), 4);
        assert_eq!(jump(BUTTON_PRESSED, 16), 11, "again");
        assert_eq!(jump(DIRTY, 19), 3, "segment");
        assert_eq!(jump(DIRTY, 21), 0, "round");
        let (tick, request, sector, segment, stop) = (0x0b, 0x0e, 0x19, 0x36 + 0xd, 0x5a);
        assert_eq!(jump(NUMBERS, 0x25), sector);
        assert_eq!(jump(NUMBERS, 0x31), stop);
        assert_eq!(jump(NUMBERS, 0x3e), request);
        assert_eq!(jump(NUMBERS, 0x55), segment);
        assert_eq!(jump(NUMBERS, 0x58), tick);
        assert_eq!(jump(NUMBERS, 0x5b), stop);
        assert_eq!(NUMBERS[0x5d..0x65], [16, 0, 32, 0, 0, 0x80, 0, 0], "packet");
    }

    #[test]
    fn sectors_are_bootable() {
        for guest in [
            Guest::Idle,
            Guest::PowerOff(0),
            Guest::Button,
            Guest::Reset(5),
            Guest::Dirty,
            Guest::Numbers,
        ] {
            let sector = guest.boot_sector().unwrap();
            assert_eq!(sector.len(), SECTOR);
            assert!(sector.ends_with(&[0x55, 0xaa]));
        }
        assert_eq!(Guest::None.boot_sector(), None);
    }
}
