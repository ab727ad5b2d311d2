//! Bits in and out of bytes, the highest first.

/// Appends bits to bytes. The last byte is filled up with zeros by [`Writer::finish`].
pub(super) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    pending: u64,
    count: u32,
}

impl<'a> Writer<'a> {
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, pending: 0, count: 0 }
    }

    /// Writes the lowest `width` bits (at most 64) of a value that has no others.
    pub(super) fn write(&mut self, value: u64, width: u32) {
        if width > 32 {
            self.write_few(value >> 32, width - 32);
            self.write_few(value & 0xffff_ffff, 32);
        } else {
            self.write_few(value, width);
        }
    }

    /// At most 32 bits: with fewer than 8 pending they fit into one word.
    fn write_few(&mut self, value: u64, width: u32) {
        self.pending = self.pending << width | value;
        self.count += width;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((self.pending >> self.count) as u8);
        }
        self.pending &= (1 << self.count) - 1;
    }

    pub(super) fn finish(self) {
        if self.count > 0 {
            self.bytes.push((self.pending << (8 - self.count)) as u8);
        }
    }
}

/// Reads bits from bytes.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    pending: u64,
    count: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, pending: 0, count: 0 }
    }

    /// The next `width` bits, at most 64.
    pub(super) fn read(&mut self, width: u32) -> Option<u64> {
        if width > 32 {
            let high = self.read_few(width - 32)?;
            Some(high << 32 | self.read_few(32)?)
        } else {
            self.read_few(width)
        }
    }

    fn read_few(&mut self, width: u32) -> Option<u64> {
        while self.count < width {
            self.pending = self.pending << 8 | u64::from(*self.bytes.get(self.at)?);
            self.at += 1;
            self.count += 8;
        }
        self.count -= width;
        let value = self.pending >> self.count;
        self.pending &= (1 << self.count) - 1;
        Some(value)
    }

    /// How many bytes were begun.
    pub(super) fn bytes_read(&self) -> usize {
        self.at
    }
}
