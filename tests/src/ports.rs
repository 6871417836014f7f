//! Ports that are ours: blocks below the ephemeral range, each locked by the process that uses it.
//!
//! Binding port 0 and passing the number on is a race: another process may be given it in between. A lock on
//! a file in the temporary folder is not, and the kernel drops it with the process, however that ends.

use std::{
    fs::{self, File, OpenOptions},
    io,
    net::TcpListener,
    path::PathBuf,
};

/// First port of the first block: above the well-known services.
const FIRST: u16 = 20_000;
/// Ports in a block: a cluster needs six, everything else fewer.
const SIZE: u16 = 10;
/// Blocks below Linux' default ephemeral range, which begins at 32768.
const BLOCKS: u16 = 1_200;

/// A block of ports that no other run uses while this value lives.
#[derive(Debug)]
pub struct Ports {
    next: u16,
    end: u16,
    _lock: File,
}

/// No ports to be had.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// The folder of the locks cannot be used.
    #[error("cannot keep port locks in {folder}: {source}; set TMPDIR to a folder that you may write to")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// All are taken.
    #[error("all {BLOCKS} blocks of ports from {FIRST} are in use; end other runs of the rig")]
    AllTaken,
    /// This block has no more.
    #[error("a block holds {SIZE} ports and all of them are given out; take another block")]
    Spent,
}

impl Ports {
    /// Takes a free block.
    ///
    /// # Errors
    /// When the locks cannot be kept, or every block is in use.
    pub fn take() -> Result<Self, PortsError> {
        let folder = std::env::temp_dir().join("loadline-ports");
        fs::create_dir_all(&folder)
            .map_err(|source| PortsError::Folder { folder: folder.clone(), source })?;
        // Runs start their search at different places, so that few locks are tried in vain.
        let start = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap_or_default();
        for i in 0..BLOCKS {
            let block = (start + i) % BLOCKS;
            let path = folder.join(block.to_string());
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(|source| PortsError::Folder { folder: folder.clone(), source })?;
            let next = FIRST + block * SIZE;
            let end = next + SIZE;
            if lock.try_lock().is_ok() && (next..end).all(is_free) {
                return Ok(Self { next, end, _lock: lock });
            }
        }
        Err(PortsError::AllTaken)
    }

    /// The next port of the block.
    ///
    /// # Errors
    /// When the block is spent.
    pub fn give(&mut self) -> Result<u16, PortsError> {
        if self.next == self.end {
            return Err(PortsError::Spent);
        }
        self.next += 1;
        Ok(self.next - 1)
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_blocks_never_share_a_port() {
        let (mut a, mut b) = (Ports::take().unwrap(), Ports::take().unwrap());
        let of = |p: &mut Ports| (0..SIZE).map(|_| p.give().unwrap()).collect::<Vec<_>>();
        let (a_ports, b_ports) = (of(&mut a), of(&mut b));
        assert!(a_ports.iter().all(|p| !b_ports.contains(p)));
        assert!(matches!(a.give(), Err(PortsError::Spent)));
    }
}
