//! A map from random identifiers to small values that takes hardly more room than they do.
//!
//! A hash table is at most seven eighths full, and half of that when it has just doubled: what is kept in it takes half as much again as it needs. Here the
//! table holds numbers of four bytes, and the entries lie close together in pieces that never move, so that growing leaves no large holes either.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Entries in one piece. With 256, 100,000 sessions took three megabytes more, and nothing was faster.
const PIECE: usize = 64;

/// Where an entry was when it was looked for. It may be elsewhere by now, or gone: a place to look at first, and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u32);

impl Place {
    /// Not known.
    pub const UNKNOWN: Self = Self(u32::MAX);
}

/// The map. Identifiers must be evenly spread: their last eight bytes are taken for a hash.
pub struct DenseMap<V> {
    numbers: HashTable<u32>,
    pieces: Vec<Vec<([u8; 16], V)>>,
}

impl<V> Default for DenseMap<V> {
    fn default() -> Self {
        Self { numbers: HashTable::new(), pieces: Vec::new() }
    }
}

impl<V> DenseMap<V> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// What is kept under this identifier.
    pub fn get(&self, id: &[u8; 16]) -> Option<&V> {
        self.find(id, Place::UNKNOWN).map(|(value, _)| value)
    }

    /// The same, and where it is. Who brings the place along finds it by one access to memory, which has to be waited for, instead of three.
    pub fn find(&self, id: &[u8; 16], place: Place) -> Option<(&V, Place)> {
        let number = place.0 as usize;
        if let Some((known, value)) = self.pieces.get(number / PIECE).and_then(|piece| piece.get(number % PIECE))
            && known == id
        {
            return Some((value, place));
        }
        let number = *self.numbers.find(hash(id), |number| self.entry(*number).0 == *id)?;
        Some((&self.entry(number).1, Place(number)))
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, id: &[u8; 16]) -> Option<&mut V> {
        let number = *self.numbers.find(hash(id), |number| self.entry(*number).0 == *id)?;
        Some(&mut self.entry_mut(number).1)
    }

    /// Keeps a value, in the place of what was there; and says where.
    pub fn insert(&mut self, id: [u8; 16], value: V) -> Place {
        let Self { numbers, pieces } = self;
        let next = u32::try_from(numbers.len()).expect("fewer entries than would fit into memory");
        let is = |number: &u32| entry(pieces, *number).0 == id;
        match numbers.entry(hash(&id), is, |number| hash(&entry(pieces, *number).0)) {
            Entry::Occupied(known) => {
                let number = *known.get();
                self.entry_mut(number).1 = value;
                Place(number)
            }
            Entry::Vacant(vacant) => {
                vacant.insert(next);
                if pieces.last().is_none_or(|piece| piece.len() == PIECE) {
                    pieces.push(Vec::with_capacity(PIECE));
                }
                pieces.last_mut().expect("one was added").push((id, value));
                Place(next)
            }
        }
    }

    /// Takes a value out. The last entry comes into its place.
    pub fn remove(&mut self, id: &[u8; 16]) -> Option<V> {
        let Self { numbers, pieces } = self;
        let (hole, _) = numbers.find_entry(hash(id), |number| entry(pieces, *number).0 == *id).ok()?.remove();
        let piece = pieces.last_mut()?;
        let mut removed = piece.pop()?;
        if piece.is_empty() {
            pieces.pop();
        }
        let last = u32::try_from(numbers.len()).expect("it was a number");
        if hole != last {
            *numbers.find_mut(hash(&removed.0), |number| *number == last)? = hole;
            std::mem::swap(self.entry_mut(hole), &mut removed);
        }
        Some(removed.1)
    }

    /// Keeps only what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        // From the end: what comes into a place that has become free was looked at before.
        for number in (0..self.len()).rev() {
            let (id, value) = self.entry(u32::try_from(number).expect("it was a number"));
            if !keep(value) {
                let id = *id;
                self.remove(&id);
            }
        }
    }

    /// Some identifier that is kept; which one depends on `by`, so that it is not always the newest.
    pub fn any(&self, by: &[u8; 16]) -> Option<[u8; 16]> {
        let number = hash(by).checked_rem(self.len() as u64)?;
        Some(self.entry(u32::try_from(number).expect("it was a number")).0)
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn entry(&self, number: u32) -> &([u8; 16], V) {
        entry(&self.pieces, number)
    }

    fn entry_mut(&mut self, number: u32) -> &mut ([u8; 16], V) {
        let number = number as usize;
        &mut self.pieces[number / PIECE][number % PIECE]
    }
}

fn entry<V>(pieces: &[Vec<([u8; 16], V)>], number: u32) -> &([u8; 16], V) {
    let number = number as usize;
    &pieces[number / PIECE][number % PIECE]
}

/// Of what is evenly spread by itself. [`Shards`](super::Shards) looks at its first bytes.
pub fn hash(id: &[u8; 16]) -> u64 {
    u64::from_le_bytes(*id.last_chunk().expect("eight of sixteen bytes"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Few that differ, so that they meet; and all with one of four hashes.
    fn id(number: u8) -> [u8; 16] {
        let mut id = [0; 16];
        (id[0], id[15]) = (number, number % 4);
        id
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in vec((0..4u8, any::<u8>(), any::<u16>()), 0..1500)) {
            let (mut dense, mut plain) = (DenseMap::default(), HashMap::new());
            // Of everything that was ever there: most of it is not right any more.
            let mut places: HashMap<u8, Place> = HashMap::new();
            for (step, number, value) in steps {
                match step {
                    0 | 1 => {
                        places.insert(number, dense.insert(id(number), value));
                        plain.insert(id(number), value);
                    }
                    2 => prop_assert_eq!(dense.remove(&id(number)), plain.remove(&id(number))),
                    _ if value % 50 == 0 => {
                        dense.retain(|kept| kept % 3 != value % 3);
                        plain.retain(|_, kept| *kept % 3 != value % 3);
                    }
                    _ => {
                        if let (Some(one), Some(other)) = (dense.get_mut(&id(number)), plain.get_mut(&id(number))) {
                            (*one, *other) = (value, value);
                        }
                    }
                }
                prop_assert_eq!(dense.len(), plain.len());
                prop_assert_eq!(dense.any(&id(number)).is_some_and(|any| plain.contains_key(&any)), !plain.is_empty());
            }
            for number in 0..=u8::MAX {
                prop_assert_eq!(dense.get(&id(number)), plain.get(&id(number)));
                for place in places.get(&number).copied().into_iter().chain([Place::UNKNOWN, Place(0), Place(300)]) {
                    let found = dense.find(&id(number), place);
                    prop_assert_eq!(found.map(|(value, _)| value), plain.get(&id(number)));
                    let Some((_, place)) = found else { continue };
                    prop_assert_eq!(dense.find(&id(number), place), found);
                }
            }
            prop_assert_eq!(dense.pieces.len(), plain.len().div_ceil(PIECE));
            dense.clear();
            prop_assert!(dense.is_empty() && dense.get(&id(0)).is_none());
        }
    }
}
