//! Row numbers by a random key, 16 bytes an entry: an open-addressing table of the key's first 64
//! bits. Two keys may share those bits, so what is found is a candidate; the row says whether it
//! is the one. Keys are digests: their bits are spread already and need no further hashing.

/// Places in a table, each under 64 bits of its key. A key may have several.
#[derive(Default)]
pub(super) struct Places {
    slots: Vec<Slot>,
    /// Slots that are not [`FREE`], those given up among them.
    used: usize,
    live: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    bits: u64,
    place: i64,
}

/// SQLite numbers rows from 1.
const FREE: i64 = 0;
/// Was taken once: a search goes on behind it.
const GIVEN_UP: i64 = -1;

impl Places {
    /// Room for so many and some more, without growing on the way there.
    pub(super) fn with_room(count: usize) -> Self {
        let mut places = Self::default();
        places.resize(count + count / 4);
        places
    }

    /// Adds a place under a key.
    pub(super) fn insert(&mut self, bits: u64, place: i64) {
        // Seven of eight slots used keep searches short enough; growing by half keeps the peak,
        // when old and new table exist side by side, low.
        if (self.used + 1) * 8 > self.slots.len() * 7 {
            self.resize(self.live + self.live / 2 + 8);
        }
        let mut at = self.home(bits);
        while self.slots[at].place != FREE {
            at = self.next(at);
        }
        self.slots[at] = Slot { bits, place };
        self.used += 1;
        self.live += 1;
    }

    /// Every place whose key begins with these bits.
    pub(super) fn find(&self, bits: u64) -> impl Iterator<Item = i64> + '_ {
        let mut at = self.home(bits);
        std::iter::from_fn(move || {
            loop {
                let slot = self.slots.get(at)?;
                if slot.place == FREE {
                    return None;
                }
                at = self.next(at);
                if slot.bits == bits && slot.place != GIVEN_UP {
                    return Some(slot.place);
                }
            }
        })
    }

    /// Removes that place of that key, if it is there.
    pub(super) fn remove(&mut self, bits: u64, place: i64) {
        let mut at = self.home(bits);
        while self.slots.get(at).is_some_and(|slot| slot.place != FREE) {
            if self.slots[at].bits == bits && self.slots[at].place == place {
                self.slots[at].place = GIVEN_UP;
                self.live -= 1;
                return;
            }
            at = self.next(at);
        }
    }

    fn resize(&mut self, count: usize) {
        // Always more slots than entries: every search ends.
        let slots = count.max(self.live) * 8 / 7 + 8;
        let old = std::mem::replace(&mut self.slots, vec![Slot { bits: 0, place: FREE }; slots]);
        (self.used, self.live) = (0, 0);
        for slot in old.into_iter().filter(|slot| slot.place > FREE) {
            self.insert(slot.bits, slot.place);
        }
    }

    /// Where a key's slots begin: its bits as a fraction of the table.
    fn home(&self, bits: u64) -> usize {
        let home = (u128::from(bits) * self.slots.len() as u128) >> 64;
        // Below the number of slots.
        usize::try_from(home).unwrap_or(0)
    }

    const fn next(&self, at: usize) -> usize {
        if at + 1 < self.slots.len() { at + 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_plain_set_holds(
            // Few different keys, some at the table's end, so that they meet and wrap around.
            steps in prop::collection::vec((any::<bool>(), 0_u64..24, 1_i64..6), 0..400)
        ) {
            let spread = |key: u64| u64::MAX - key.wrapping_mul(u64::MAX / 16);
            let mut places = Places::default();
            let mut model = BTreeSet::new();
            for (add, key, place) in steps {
                if !add {
                    places.remove(spread(key), place);
                    model.remove(&(key, place));
                } else if model.insert((key, place)) {
                    places.insert(spread(key), place);
                }
                prop_assert_eq!(places.live, model.len());
            }
            for key in 0..24 {
                let found: BTreeSet<i64> = places.find(spread(key)).collect();
                let of_key = model.iter().filter(|(known, _)| spread(*known) == spread(key));
                prop_assert_eq!(found, of_key.map(|(_, place)| *place).collect());
            }
        }
    }

    #[test]
    fn an_entry_takes_less_than_32_bytes_however_many_there_are() {
        let mut places = Places::default();
        let mut bits: u64 = 1;
        for place in 1..=200_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            places.insert(bits, place);
            let bytes = places.slots.len() * size_of::<Slot>();
            assert!(places.live < 100 || bytes < places.live * 32, "{place}: {bytes}");
        }
    }
}
