//! A stream of bytes, encrypted in chunks (STREAM over XChaCha20-Poly1305): nothing can be swapped, left out or cut off.

use std::io::{self, Read, Write};

use aead_stream::{DecryptorBE32, EncryptorBE32};
use chacha20poly1305::XChaCha20Poly1305;
use kernel::Entropy;

/// What an encrypted backup begins with; a plain one begins with the name of its first file.
pub(super) const MAGIC: &[u8; 16] = b"tessera-sealed-1";
const NONCE_BYTES: usize = 19;
const CHUNK_BYTES: usize = 64 << 10;
const TAG_BYTES: usize = 16;

fn corrupt() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it does not open: wrong key file, or the file was damaged or cut off")
}

/// Encrypts what is written. [`finish`](Self::finish) writes the last chunk; without it the stream does not open.
pub(super) struct SealedWriter<W> {
    out: W,
    cipher: EncryptorBE32<XChaCha20Poly1305>,
    chunk: Vec<u8>,
}

impl<W: Write> SealedWriter<W> {
    pub(super) fn new(mut out: W, key: &[u8; 32], entropy: &Entropy) -> io::Result<Self> {
        let nonce = entropy.bytes::<NONCE_BYTES>();
        out.write_all(MAGIC)?;
        out.write_all(&nonce)?;
        Ok(Self { out, cipher: EncryptorBE32::new(key.into(), (&nonce).into()), chunk: Vec::with_capacity(CHUNK_BYTES) })
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        let last = self.cipher.encrypt_last(self.chunk.as_slice()).map_err(|_| corrupt())?;
        self.out.write_all(&last)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk goes out only when more follows: the last one is sealed as the last.
        if self.chunk.len() == CHUNK_BYTES && !bytes.is_empty() {
            let sealed = self.cipher.encrypt_next(self.chunk.as_slice()).map_err(|_| corrupt())?;
            self.out.write_all(&sealed)?;
            self.chunk.clear();
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Decrypts what [`SealedWriter`] wrote; the magic has been read already.
pub(super) struct SealedReader<R> {
    source: R,
    cipher: Option<DecryptorBE32<XChaCha20Poly1305>>,
    ahead: Vec<u8>,
    plain: io::Cursor<Vec<u8>>,
}

impl<R: Read> SealedReader<R> {
    pub(super) fn new(mut source: R, key: &[u8; 32]) -> io::Result<Self> {
        let mut nonce = [0; NONCE_BYTES];
        source.read_exact(&mut nonce)?;
        let ahead = chunk(&mut source)?;
        Ok(Self { source, cipher: Some(DecryptorBE32::new(key.into(), (&nonce).into())), ahead, plain: io::Cursor::default() })
    }
}

fn chunk(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take((CHUNK_BYTES + TAG_BYTES) as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl<R: Read> Read for SealedReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.plain.read(out)?;
            if read > 0 || out.is_empty() {
                return Ok(read);
            }
            let Some(mut cipher) = self.cipher.take() else { return Ok(0) };
            let sealed = std::mem::take(&mut self.ahead);
            self.ahead = chunk(&mut self.source)?;
            let plain = if self.ahead.is_empty() {
                cipher.decrypt_last(sealed.as_slice()).map_err(|_| corrupt())?
            } else {
                let plain = cipher.decrypt_next(sealed.as_slice()).map_err(|_| corrupt())?;
                self.cipher = Some(cipher);
                plain
            };
            self.plain = io::Cursor::new(plain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_whole_and_a_cut_or_changed_stream_does_not() {
        let (key, entropy) = ([3; 32], Entropy::seeded(1));
        for size in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let plain: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let mut writer = SealedWriter::new(Vec::new(), &key, &entropy).unwrap();
            writer.write_all(&plain).unwrap();
            let sealed = writer.finish().unwrap();
            let open = |sealed: &[u8], key: &[u8; 32]| {
                let mut opened = Vec::new();
                SealedReader::new(&sealed[MAGIC.len()..], key)?.read_to_end(&mut opened).map(|_| opened)
            };
            assert_eq!(open(&sealed, &key).unwrap(), plain);
            assert!(open(&sealed, &[4; 32]).is_err());
            assert!(open(&sealed[..sealed.len() - 1], &key).is_err());
            if size > CHUNK_BYTES {
                assert!(open(&sealed[..MAGIC.len() + NONCE_BYTES + CHUNK_BYTES + TAG_BYTES], &key).is_err(), "cut off between two chunks");
            }
            let mut changed = sealed.clone();
            *changed.last_mut().unwrap() ^= 1;
            assert!(open(&changed, &key).is_err());
        }
    }
}
