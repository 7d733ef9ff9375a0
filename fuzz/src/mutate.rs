//! Mutations of a corpus, the same for the same seed: bits, bytes, lengths,
//! pieces of other entries. Without coverage they find less than libFuzzer, but
//! they run in every test run and need nothing installed.

/// The longest input, in bytes: longer ones only take more time.
const BYTES_MAX: usize = 64 * 1024;

/// Values at the edges of lengths and counts.
const EDGES: [&[u8]; 8] = [
    &[0],
    &[0xff],
    &[0x7f],
    &[0x80],
    &[0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0, 0, 0, 0, 0, 1, 0, 0],
    &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
];

/// Makes mutations from one seed.
#[derive(Debug)]
pub struct Mutator {
    state: u64,
    corpus: Vec<Vec<u8>>,
}

impl Mutator {
    /// `corpus` must not be empty.
    pub fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        Self {
            state: seed | 1,
            corpus,
        }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut bytes = self.entry();
        for _ in 0..=self.below(6) {
            self.mutate(&mut bytes);
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let place = self.below(bytes.len() + 1);
        match self.below(7) {
            0 if place < bytes.len() => bytes[place] ^= 1 << self.below(8),
            1 if place < bytes.len() => bytes[place] = self.byte(),
            2 => bytes.truncate(place),
            3 => {
                let end = place + self.below(bytes.len() - place + 1);
                bytes.drain(place..end);
            }
            4 => {
                let edge = EDGES[self.below(EDGES.len())];
                bytes.splice(place..place, edge.iter().copied());
            }
            5 => {
                let other = self.entry();
                let start = self.below(other.len() + 1);
                let end = start + self.below(other.len() - start + 1);
                bytes.splice(place..place, other[start..end].iter().copied());
            }
            _ => {
                let byte = self.byte();
                bytes.insert(place, byte);
            }
        }
    }

    fn entry(&mut self) -> Vec<u8> {
        let index = self.below(self.corpus.len());
        self.corpus[index].clone()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    /// xorshift64* by Vigna, which is more than good enough for this.
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}
