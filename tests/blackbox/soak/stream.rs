//! Streams that verify themselves: a few bytes of one tell which stream they are from and where
//! they belong. So a driver that joins late can check them too, and a byte that is lost, repeated
//! or from another stream is seen at once.

const WORD: usize = 8;
/// Odd, so that multiplying by it can be undone.
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
const UNMIX: u64 = inverse(MIX);

/// Makes the bytes of a stream, in pieces.
pub struct Source {
    stream: u32,
    offset: usize,
}

impl Source {
    pub fn new(stream: u32) -> Self {
        Self { stream, offset: 0 }
    }

    pub fn next(&mut self, len: usize) -> Vec<u8> {
        let bytes = piece(self.stream, self.offset, len);
        self.offset += len;
        bytes
    }
}

/// Checks the bytes of a stream as they come.
#[derive(Default)]
pub struct StreamChecker {
    /// What came before it was known where it belongs.
    unplaced: Vec<u8>,
    place: Option<Place>,
}

/// The stream that bytes are from, where they began and where the next ones belong.
#[derive(Clone, Copy)]
pub struct Place {
    pub stream: u32,
    pub start: usize,
    pub end: usize,
}

impl StreamChecker {
    /// One that knows what is to come.
    pub fn of(stream: u32) -> Self {
        Self { unplaced: Vec::new(), place: Some(Place { stream, start: 0, end: 0 }) }
    }

    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// Takes the next bytes, and fails the test where they are not.
    #[track_caller]
    pub fn take(&mut self, data: &[u8]) {
        if let Some(place) = &mut self.place {
            let wanted = piece(place.stream, place.end, data.len());
            assert!(data == wanted, "stream {} is wrong behind byte {}", place.stream, place.end);
            place.end += data.len();
            return;
        }
        self.unplaced.extend_from_slice(data);
        if self.unplaced.len() >= 3 * WORD {
            let data = std::mem::take(&mut self.unplaced);
            let (stream, start) = locate(&data).expect("bytes that belong to some stream");
            self.place = Some(Place { stream, start, end: start });
            self.take(&data);
        }
    }
}

/// The stream and the offset of bytes that are whole words somewhere.
fn locate(data: &[u8]) -> Option<(u32, usize)> {
    (0..WORD).find_map(|shift| {
        let (first, rest) = data[shift..].split_first_chunk()?;
        let (first, second) = (unmix(first), unmix(rest.first_chunk()?));
        let offset = (first as u32 as usize * WORD).checked_sub(shift)?;
        (second == first + 1).then_some(((first >> 32) as u32, offset))
    })
}

fn piece(stream: u32, offset: usize, len: usize) -> Vec<u8> {
    let skipped = offset % WORD;
    let mut bytes = Vec::with_capacity(len + 2 * WORD);
    let mut word = u64::from(stream) << 32 | (offset / WORD) as u64;
    while bytes.len() < skipped + len {
        bytes.extend_from_slice(&word.wrapping_mul(MIX).to_le_bytes());
        word += 1;
    }
    bytes.truncate(skipped + len);
    bytes.drain(..skipped);
    bytes
}

fn unmix(word: &[u8; WORD]) -> u64 {
    u64::from_le_bytes(*word).wrapping_mul(UNMIX)
}

/// Newton's iteration; each round doubles the number of right bits.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut round = 0;
    while round < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        round += 1;
    }
    inverse
}

#[test]
fn a_follower_finds_its_place_anywhere() {
    let whole = Source::new(77).next(1000);
    for start in 0..40 {
        let mut checker = StreamChecker::default();
        for byte in &whole[start..] {
            checker.take(std::slice::from_ref(byte));
        }
        let place = checker.place().unwrap();
        assert_eq!((place.stream, place.start, place.end), (77, start, 1000));
    }
}

#[test]
#[should_panic(expected = "stream 5 is wrong behind byte 100")]
fn a_follower_misses_a_byte_that_is_lost() {
    let whole = Source::new(5).next(200);
    let mut checker = StreamChecker::default();
    checker.take(&whole[..100]);
    checker.take(&whole[101..]);
}
