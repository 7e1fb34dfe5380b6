//! The salts that devices are hashed with: one a day, shared by all nodes through the database, forgotten after two days, so
//! that nobody can tell afterwards which device a hash was, or follow one from day to day.

use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use kernel::{Caller, Entropy, Timestamp};
use siphasher::sip::SipHasher24;
use store::{Reads, Store, params};

use super::error::ScanError;
use super::sql;

/// How many days a salt is kept.
const DAYS_KEPT: i64 = 2;

/// The salts of today and tomorrow.
pub struct Salts {
    known: RwLock<[(i64, SipHasher24); 2]>,
    /// For a day whose salt has not come (the clock was set, the database was away over midnight): this process's own.
    own: SipHasher24,
}

impl Salts {
    /// Without any from the database yet.
    pub fn new(entropy: &Entropy) -> Self {
        let own = SipHasher24::new_with_key(&entropy.bytes());
        Self { known: RwLock::new([(i64::MIN, own), (i64::MIN, own)]), own }
    }

    /// The keyed hash of the day of `at`.
    pub fn of(&self, at: Timestamp) -> SipHasher24 {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(day, _)| *day == at.day()).map_or(self.own, |(_, salt)| *salt)
    }

    /// Makes sure of the salts of today and tomorrow, and forgets the old ones. True when something was missing.
    pub async fn renew(&self, store: &Store) -> Result<bool, ScanError> {
        let today = store.clock().now().day();
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if [today, today + 1].iter().all(|day| known.iter().any(|(have, _)| have == day)) {
                return Ok(false);
            }
        }
        let drawn: [[u8; 16]; 2] = [store.entropy().bytes(), store.entropy().bytes()];
        let salts = store
            .write(&Caller::system("salts"), (today, drawn), |tx, (today, drawn)| {
                Box::pin(async move {
                    let mut salts = Vec::new();
                    for (day, fresh) in (today..).zip(drawn) {
                        tx.execute(&sql::SALT_ADD_EVERYWHERE, params![day, &fresh[..]]).await?;
                        salts.push((
                            day,
                            tx.row(&sql::SALT_EVERYWHERE, params![day], |row| row.get::<Vec<u8>>(0)).await?.unwrap_or_default(),
                        ));
                    }
                    tx.execute(&sql::SALT_FORGET_EVERYWHERE, params![today - DAYS_KEPT + 1]).await?;
                    Ok::<_, ScanError>(salts)
                })
            })
            .await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (place, (day, salt)) in known.iter_mut().zip(salts) {
            if let Ok(key) = <&[u8; 16]>::try_from(&salt[..]) {
                *place = (day, SipHasher24::new_with_key(key));
            }
        }
        Ok(true)
    }
}

/// The hash of a header under a day's salt.
pub fn header_hash(salt: SipHasher24, header: &[u8]) -> u64 {
    salt.hash(header)
}

/// Tells devices apart: SipHash-2-4 under the day's salt over the address and the hash of the `User-Agent` header; never 0.
pub fn device_hash(mut salt: SipHasher24, address: IpAddr, header_hash: u64) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => salt.write(&v4.octets()),
        // A household or a phone has 64 bits to itself and changes the rest at will.
        IpAddr::V6(v6) => salt.write(&v6.octets()[..8]),
    }
    salt.write_u64(header_hash);
    salt.finish().max(1)
}
