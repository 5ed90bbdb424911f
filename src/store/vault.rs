//! Encrypts the columns that hold personal data: AES-256-GCM, a random nonce before each value,
//! the row's id and the column's name as associated data, so that values cannot change places.
//! Also makes the keyed digests under which people are compared without storing who they are.

use std::{fs, path::Path};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
    rand::{SecureRandom, SystemRandom},
};

use crate::store::StoreError;

/// The store's key, ready for use.
pub struct Vault {
    cipher: LessSafeKey,
    digest: hmac::Key,
    random: SystemRandom,
}

impl Vault {
    /// Reads the key file: 64 hexadecimal digits.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn open(file: &Path) -> Result<Self, String> {
        let name = file.display();
        let text = fs::read_to_string(file)
            .map_err(|error| format!("store.key_file {name} cannot be read: {error}"))?;
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key)
            .map_err(|_| format!("store.key_file {name} must hold 64 hexadecimal digits"))?;
        Self::new(&key).ok_or_else(|| "the cipher refused the key".to_owned())
    }

    /// A vault under that key.
    pub fn new(key: &[u8; 32]) -> Option<Self> {
        let master = hmac::Key::new(hmac::HMAC_SHA256, key);
        // Two keys from one, so that the cipher and the digests never share one.
        let cipher = hmac::sign(&master, b"tongban store columns v1");
        let digest = hmac::sign(&master, b"tongban store digests v1");
        Some(Self {
            cipher: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, cipher.as_ref()).ok()?),
            digest: hmac::Key::new(hmac::HMAC_SHA256, digest.as_ref()),
            random: SystemRandom::new(),
        })
    }

    /// The value encrypted for `column` of the row `id`: nonce, ciphertext, tag.
    ///
    /// # Errors
    /// When the system has no randomness or the value is beyond the cipher's limit.
    pub fn seal(&self, id: &[u8; 16], column: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE_LEN];
        let failed = |_| StoreError::Unavailable("cannot encrypt".into());
        self.random.fill(&mut nonce).map_err(failed)?;
        let mut out = Vec::with_capacity(NONCE_LEN + value.len() + 16);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(value);
        let aad = Aad::from([&id[..], column.as_bytes()].concat());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .cipher
            .seal_in_place_separate_tag(nonce, aad, &mut out[NONCE_LEN..])
            .map_err(failed)?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// The value that [`Vault::seal`] encrypted for that row and column.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the key, the place or any bit is not the same.
    pub fn unseal(&self, id: &[u8; 16], column: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let corrupt = || StoreError::Corrupt(format!("column {column} does not decrypt"));
        let (nonce, sealed) = value.split_at_checked(NONCE_LEN).ok_or_else(corrupt)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| corrupt())?;
        let aad = Aad::from([&id[..], column.as_bytes()].concat());
        let mut plain = sealed.to_vec();
        let length =
            self.cipher.open_in_place(nonce, aad, &mut plain).map_err(|_| corrupt())?.len();
        plain.truncate(length);
        Ok(plain)
    }

    /// 16 bytes that are equal for equal texts and say nothing of them without the key.
    pub fn digest(&self, text: &str) -> [u8; 16] {
        let tag = hmac::sign(&self.digest, text.as_bytes());
        let mut out = [0; 16];
        out.copy_from_slice(&tag.as_ref()[..16]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_in_its_own_place() {
        let vault = Vault::new(&[7; 32]).unwrap();
        let sealed = vault.seal(&[1; 16], "body", "王小·明".as_bytes()).unwrap();
        assert_eq!(vault.unseal(&[1; 16], "body", &sealed).unwrap(), "王小·明".as_bytes());
        assert!(vault.unseal(&[2; 16], "body", &sealed).is_err());
        assert!(vault.unseal(&[1; 16], "detail", &sealed).is_err());
        assert!(vault.unseal(&[1; 16], "body", &sealed[..5]).is_err());
        let mut changed = sealed;
        changed[20] ^= 1;
        assert!(vault.unseal(&[1; 16], "body", &changed).is_err());
    }
}
