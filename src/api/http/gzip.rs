//! Shell: one gzip stream from many pieces, compressed by several threads.
//!
//! Each piece becomes a run of deflate blocks that refers to nothing before it and ends on a byte
//! boundary (RFC 1951, a sync flush), so that the runs of all pieces make up one stream.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::parts::by_threads;

/// Magic, deflate, no flags, no time, fastest, unknown system (RFC 1952).
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// An empty last block of deflate.
const END: [u8; 2] = [3, 0];

/// Compresses the pieces as one stream.
pub(super) fn compress(pieces: &[Bytes]) -> Vec<Bytes> {
    let runs = by_threads(pieces.len(), |at| run(&pieces[at]));
    let mut crc = Crc::new();
    let mut packed = vec![Bytes::from_static(&HEAD)];
    for (run, part) in runs {
        crc.combine(&part);
        packed.push(run);
    }
    let mut tail = END.to_vec();
    tail.extend_from_slice(&crc.sum().to_le_bytes());
    tail.extend_from_slice(&crc.amount().to_le_bytes());
    packed.push(tail.into());
    packed
}

/// One piece as a run of blocks, and its checksum.
fn run(piece: &[u8]) -> (Bytes, Crc) {
    let mut crc = Crc::new();
    crc.update(piece);
    let mut deflate = Compress::new(Compression::fast(), false);
    let mut out = Vec::with_capacity(piece.len() / 4 + 64);
    loop {
        let taken = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let rest = piece.get(taken..).unwrap_or_default();
        let status = deflate.compress_vec(rest, &mut out, FlushCompress::Sync);
        let status = status.expect("deflate takes any bytes");
        // Room that is left means that the flush is complete.
        if status == Status::Ok && out.len() < out.capacity() {
            return (out.into(), crc);
        }
        out.reserve(out.capacity().max(1024));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn there_and_back(pieces: &[Bytes]) -> Vec<u8> {
        let packed = compress(pieces).concat();
        let mut plain = Vec::new();
        let mut reader = flate2::read::GzDecoder::new(packed.as_slice());
        reader.read_to_end(&mut plain).unwrap();
        plain
    }

    #[test]
    fn many_pieces_are_one_stream() {
        let noise: Vec<u8> = (0..200_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let pieces = [
            Bytes::from_static(b"{\"a\":"),
            Bytes::new(),
            noise.into(),
            vec![b'x'; 1 << 20].into(),
            Bytes::from_static(b"}"),
        ];
        assert_eq!(there_and_back(&pieces), pieces.concat());
        assert!(there_and_back(&[]).is_empty());
        for length in [63, 64, 65, 255, 256, 1000, 4096] {
            let piece: Vec<u8> = (0..length).map(|n| (n * 7 % 251) as u8).collect();
            assert_eq!(there_and_back(&[piece.clone().into()]), piece, "{length}");
        }
    }
}
