//! Where an id stands in a list, found in one step and not by halving: it is asked of every slice, and again and again of
//! every incident. Nothing ever walks through the slots, so their order decides nothing.

use alloc::{vec, vec::Vec};

const FREE: u32 = u32::MAX;

/// Open addressing, at most half full.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    slots: Vec<u32>,
}

impl Table {
    /// Takes the ids in the order of their places.
    pub(super) fn new<'a>(ids: impl ExactSizeIterator<Item = &'a str>) -> Self {
        let mut slots = vec![FREE; (ids.len() * 2).next_power_of_two()];
        let mask = slots.len() - 1;
        for (place, id) in (0..FREE).zip(ids) {
            let mut at = hash(id) & mask;
            while slots[at] != FREE {
                at = (at + 1) & mask;
            }
            slots[at] = place;
        }
        Self { slots }
    }

    /// The place of an id; the caller says whether it is the one.
    pub(super) fn find(&self, id: &str, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash(id) & mask;
        while self.slots[at] != FREE {
            let place = self.slots[at] as usize;
            if is_it(place) {
                return Some(place);
            }
            at = (at + 1) & mask;
        }
        None
    }
}

/// FNV-1a: ids are short, and only the lineup's own stand in the table.
fn hash(id: &str) -> usize {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = id.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step);
    (hash ^ hash >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::String};

    #[test]
    fn every_id_is_found_where_it_stands_and_no_other_is() {
        let nothing = Table::new([].into_iter());
        assert_eq!(nothing.find("a", |_| true), None);
        assert_eq!(Table::default().find("a", |_| true), None);
        let ids: Vec<String> = (0..1000).map(|it| format!("channel-{it}/edge")).collect();
        let table = Table::new(ids.iter().map(String::as_str));
        let find = |id: &str| table.find(id, |at| ids[at] == id);
        for (place, id) in ids.iter().enumerate() {
            assert_eq!(find(id), Some(place), "{id}");
        }
        assert_eq!((find(""), find("channel-1000/edge"), find("channel-1")), (None, None, None));
    }
}
