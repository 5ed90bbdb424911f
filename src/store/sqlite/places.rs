//! Row numbers by a random key, 12 bytes an entry and some room: open-addressing tables of the key's
//! first 56 bits. Two keys may share those bits, so what is found is a candidate; the row says whether
//! it is the one. Keys are digests: their bits are spread already and need no further hashing.

/// Places in a table of the store, each under 64 bits of its key, of which 56 are kept. A key may have
/// several.
pub(super) struct Places(Vec<Shelf>);

/// A part of the entries. Each grows by itself: only while it does, and only it, is there twice.
#[derive(Default)]
struct Shelf {
    slots: Vec<Slot>,
    /// Slots that are not [`FREE`], those given up among them.
    used: usize,
    live: usize,
}

/// 56 bits of the key, then 40 of the place: a million million rows.
#[derive(Clone, Copy)]
struct Slot([u32; 3]);

/// SQLite numbers rows from 1.
const FREE: u64 = 0;
/// Was taken once: a search goes on behind it.
const GIVEN_UP: u64 = MOST;
/// What fits in.
const MOST: u64 = (1 << 40) - 1;

impl Slot {
    fn new(bits: u64, place: u64) -> Self {
        let [a, b, c, d, e, f, g, _] = bits.to_be_bytes();
        let [_, _, _, h, i, j, k, l] = place.to_be_bytes();
        let word = u32::from_be_bytes;
        Self([word([a, b, c, d]), word([e, f, g, h]), word([i, j, k, l])])
    }

    /// The last eight are zeros.
    fn bits(self) -> u64 {
        u64::from(self.0[0]) << 32 | u64::from(self.0[1] & !0xff)
    }

    fn place(self) -> u64 {
        u64::from(self.0[1] & 0xff) << 32 | u64::from(self.0[2])
    }
}

impl Default for Places {
    fn default() -> Self {
        Self((0..SHELVES).map(|_| Shelf::default()).collect())
    }
}

impl Places {
    /// Adds a place under a key.
    pub(super) fn insert(&mut self, bits: u64, place: i64) {
        let (shelf, bits) = shelf(bits);
        // Beyond what fits in there are more rows than any disk holds.
        let place = u64::try_from(place).unwrap_or(MOST).min(MOST - 1);
        self.0[shelf].insert(bits, place);
    }

    /// Every place whose key begins with these bits.
    pub(super) fn find(&self, bits: u64) -> impl Iterator<Item = i64> + '_ {
        let (shelf, bits) = shelf(bits);
        self.0[shelf].find(bits).filter_map(|place| i64::try_from(place).ok())
    }

    /// Removes that place of that key, if it is there.
    pub(super) fn remove(&mut self, bits: u64, place: i64) {
        let (shelf, bits) = shelf(bits);
        self.0[shelf].remove(bits, u64::try_from(place).unwrap_or(FREE));
    }
}

/// The shelf of a key, by its first bits, and what is kept of the others.
fn shelf(bits: u64) -> (usize, u64) {
    // Less than the number of shelves.
    let shelf = usize::try_from(bits >> (64 - SHELVES.trailing_zeros())).unwrap_or(0);
    (shelf, bits << SHELVES.trailing_zeros() & !0xff)
}

/// A power of two.
const SHELVES: usize = 64;

impl Shelf {
    fn insert(&mut self, bits: u64, place: u64) {
        // Seven of eight slots used keep searches short enough.
        if (self.used + 1) * 8 > self.slots.len() * 7 {
            self.grow();
        }
        let mut at = self.home(bits);
        while self.slots[at].place() != FREE {
            at = self.next(at);
        }
        self.slots[at] = Slot::new(bits, place);
        self.used += 1;
        self.live += 1;
    }

    fn find(&self, bits: u64) -> impl Iterator<Item = u64> + '_ {
        let mut at = self.home(bits);
        std::iter::from_fn(move || {
            loop {
                let slot = *self.slots.get(at)?;
                if slot.place() == FREE {
                    return None;
                }
                at = self.next(at);
                if slot.bits() == bits && slot.place() != GIVEN_UP {
                    return Some(slot.place());
                }
            }
        })
    }

    fn remove(&mut self, bits: u64, place: u64) {
        let mut at = self.home(bits);
        while self.slots.get(at).is_some_and(|slot| slot.place() != FREE) {
            if self.slots[at].bits() == bits && self.slots[at].place() == place {
                self.slots[at] = Slot::new(bits, GIVEN_UP);
                self.live -= 1;
                return;
            }
            at = self.next(at);
        }
    }

    /// By a third, of what is live. Always more slots than entries: every search ends.
    fn grow(&mut self) {
        let slots = (self.live + self.live / 3 + 8) * 8 / 7;
        let old = std::mem::replace(&mut self.slots, vec![Slot([0; 3]); slots]);
        (self.used, self.live) = (0, 0);
        for slot in old {
            if ![FREE, GIVEN_UP].contains(&slot.place()) {
                self.insert(slot.bits(), slot.place());
            }
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
            // Few different keys on two shelves, at their ends, so that they meet and wrap around.
            steps in prop::collection::vec((any::<bool>(), 0_u64..24, 1_i64..6), 0..400)
        ) {
            let spread = |key: u64| ((key % 2) << 63) | ((u64::MAX >> 6) - ((key / 2) << 54));
            let mut places = Places::default();
            let mut model = BTreeSet::new();
            for (add, key, place) in steps {
                if !add {
                    places.remove(spread(key), place);
                    model.remove(&(key, place));
                } else if model.insert((key, place)) {
                    places.insert(spread(key), place);
                }
                prop_assert_eq!(live(&places), model.len());
            }
            for key in 0..24 {
                let found: BTreeSet<i64> = places.find(spread(key)).collect();
                let of_key = model.iter().filter(|(known, _)| spread(*known) == spread(key));
                prop_assert_eq!(found, of_key.map(|(_, place)| *place).collect());
            }
        }
    }

    fn live(places: &Places) -> usize {
        places.0.iter().map(|shelf| shelf.live).sum()
    }

    #[test]
    fn a_slot_keeps_its_key_and_a_great_place() {
        for (bits, place) in [(0, 1), (!0xff, MOST), (0x0123_4567_89ab_cd00, 0xff_0000_0001)] {
            let slot = Slot::new(bits, place);
            assert_eq!((slot.bits(), slot.place()), (bits, place));
        }
    }

    #[test]
    fn an_entry_takes_less_than_20_bytes_however_many_there_are() {
        let mut places = Places::default();
        let mut bits: u64 = 1;
        for place in 1..=200_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            places.insert(bits, place);
            let slots: usize = places.0.iter().map(|shelf| shelf.slots.len()).sum();
            let bytes = slots * size_of::<Slot>();
            assert!(live(&places) < 10_000 || bytes < live(&places) * 20, "{place}: {bytes}");
        }
    }
}
