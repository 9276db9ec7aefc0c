//! The mask of frames from drivers (RFC 6455 section 5.3).

/// Undoes the mask (RFC 6455 section 5.3). Sixteen bytes at a time, which the compiler turns
/// into vector instructions.
pub(super) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u128::from_ne_bytes([a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d]);
    let (blocks, rest) = payload.as_chunks_mut::<16>();
    for block in blocks {
        *block = (u128::from_ne_bytes(*block) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// The mask as it applies after `len` bytes.
pub(super) fn rotated(mut mask: [u8; 4], len: usize) -> [u8; 4] {
    mask.rotate_left(len % 4);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_in_slices_is_unmasked_as_the_whole_is() {
        let mask = [1, 2, 3, 4];
        let mut whole: Vec<u8> = (0..100).collect();
        unmask(&mut whole, mask);
        for cut in 0..100 {
            let mut sliced: Vec<u8> = (0..100).collect();
            let (front, back) = sliced.split_at_mut(cut);
            unmask(front, mask);
            unmask(back, rotated(mask, cut));
            assert_eq!(sliced, whole, "cut at {cut}");
        }
    }
}
