//! The binary of the image: linked statically, so that it runs in an image that holds nothing else.
//!
//! `tests/run` builds it and names it in `LOADLINE_BIN`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it needs by panicking")]

use std::{env, fs, path::PathBuf, process::Command};

/// Type of a program header that names the dynamic loader (System V ABI, ELF program headers).
const PT_INTERP: u32 = 3;
/// Type of a program header that lists shared libraries.
const PT_DYNAMIC: u32 = 2;
/// Tag of an entry of the dynamic section that names a shared library.
const DT_NEEDED: u64 = 1;

#[test]
fn it_needs_no_loader_and_no_shared_library() {
    let elf = Elf::read(&binary());
    assert_eq!(elf.segments(PT_INTERP).count(), 0, "it asks for a dynamic loader: build it with crt-static");
    // A static binary that may lie anywhere in memory has a dynamic section for its own relocations.
    let needed = elf.segments(PT_DYNAMIC).flat_map(|s| elf.dynamic_tags(s)).filter(|&tag| tag == DT_NEEDED);
    assert_eq!(needed.count(), 0, "it names shared libraries");
}

#[test]
fn it_runs_without_any_environment() {
    let run = |args: &[&str]| {
        let output = Command::new(binary()).args(args).env_clear().current_dir("/").output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {} {error}", output.status);
        String::from_utf8(output.stdout).unwrap()
    };
    let version = run(&["--version"]);
    assert!(version.starts_with("loadline ") && version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    let crds = run(&["crds"]);
    for kind in ["ElasticPolicy", "SafetyLever"] {
        assert!(crds.contains(&format!("kind: {kind}\n")), "{crds}");
    }
}

fn binary() -> PathBuf {
    let Some(path) = env::var_os("LOADLINE_BIN").map(PathBuf::from) else {
        panic!(
            "LOADLINE_BIN does not name the static binary. `tests/run` builds it; by hand: \
             RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --package loadline \
             --target $(uname -m)-unknown-linux-gnu"
        )
    };
    assert!(path.is_file(), "LOADLINE_BIN names {}, which is not a file", path.display());
    path
}

/// The little of an ELF file that the test reads: 64 bits, little-endian.
struct Elf(Vec<u8>);

/// Where a segment lies in the file.
#[derive(Clone, Copy)]
struct Segment {
    kind: u32,
    offset: usize,
    size: usize,
}

impl Elf {
    fn read(path: &PathBuf) -> Self {
        let elf = Self(fs::read(path).unwrap());
        assert_eq!(elf.bytes::<4>(0), *b"\x7fELF", "{} is not an ELF file", path.display());
        assert_eq!(elf.bytes::<2>(4), [2, 1], "64 bits, little-endian");
        elf
    }

    fn segments(&self, kind: u32) -> impl Iterator<Item = Segment> {
        let (table, entry, count) =
            (self.u64(0x20), usize::from(self.u16(0x36)), usize::from(self.u16(0x38)));
        assert!(count > 0, "no program headers");
        let at = move |i: usize| usize::try_from(table).unwrap() + i * entry;
        (0..count)
            .map(move |i| Segment {
                kind: u32::from_le_bytes(self.bytes(at(i))),
                offset: usize::try_from(self.u64(at(i) + 0x08)).unwrap(),
                size: usize::try_from(self.u64(at(i) + 0x20)).unwrap(),
            })
            .filter(move |s| s.kind == kind)
    }

    fn dynamic_tags(&self, segment: Segment) -> impl Iterator<Item = u64> {
        (segment.offset..segment.offset + segment.size).step_by(16).map(|at| self.u64(at))
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..at + N).unwrap().try_into().unwrap()
    }
}
