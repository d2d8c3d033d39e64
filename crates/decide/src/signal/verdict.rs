//! What a second of a delivery counts as, from what each agent says of it.
//!
//! An agent is asked only about what it could see: one that does not decode has not seen that the picture is *not* black,
//! and one that saw less than half of what another saw of the second has no say in it.

use alloc::vec::Vec;

use tallylight_model::{FaultClass, FaultKind, Layer};

/// A whole second in milliseconds, the unit of all times within one.
pub(super) const WHOLE: u16 = 1000;

/// Places in a [`Share`]: observed at any layer, at each layer, bad, and by class.
pub(super) const ANY: usize = 0;
pub(super) const OBSERVED: usize = 1;
pub(super) const BAD: usize = OBSERVED + Layer::ALL.len();
pub(super) const FAULTS: usize = BAD + 1;
pub(super) const PARTS: usize = FAULTS + FaultClass::ALL.len();

/// What a second counts as, in milliseconds.
pub(super) type Share = [u16; PARTS];

/// What one agent says of one second.
#[derive(Clone, Debug, Default)]
pub(super) struct Word {
    pub(super) any: u16,
    pub(super) observed: [u16; Layer::ALL.len()],
    /// Kinds of declared faults, with how long the condition held.
    pub(super) declared: Vec<(FaultKind, u16)>,
}

impl Word {
    /// How long any of these kinds held. Conditions of one second overlap in a way that is not known; the longest is sure.
    fn span(&self, of: impl Fn(FaultKind) -> bool) -> u16 {
        let spans = self.declared.iter().filter(|(kind, _)| of(*kind)).map(|(_, span)| *span);
        spans.max().unwrap_or(0).min(self.any)
    }

    /// Whether the agent would have seen a fault of this kind.
    fn sees(&self, kind: FaultKind) -> bool {
        let rule = kind.rule();
        // Damage shows in decoded sound as well: a radio channel has no picture.
        let by_ear = rule.class == Some(FaultClass::Decode) && self.layer(Layer::Sound) > 0;
        by_ear || self.layer(rule.layer) > 0 || self.span(|it| it == kind) > 0
    }

    fn layer(&self, layer: Layer) -> u16 {
        self.observed[layer as usize]
    }
}

/// What agents say together: observed is what anybody saw, bad what more than half of those who could see it say at least.
pub(super) fn verdict(words: &[Word]) -> Share {
    let mut share = [0; PARTS];
    for word in words {
        share[ANY] = word.any.max(share[ANY]);
        for (own, seen) in share[OBSERVED..BAD].iter_mut().zip(word.observed) {
            *own = seen.max(*own);
        }
    }
    if words.iter().all(|it| it.declared.is_empty()) {
        return share;
    }
    let whole = u32::from(share[ANY]);
    let voters = || words.iter().filter(|it| it.any > 0 && u32::from(it.any) * 2 >= whole);
    share[BAD] = majority(voters().map(|it| it.span(|_| true)));
    for (own, class) in share[FAULTS..].iter_mut().zip(FaultClass::ALL) {
        *own = majority(voters().map(|it| it.span(|kind| kind.rule().class == Some(class))));
    }
    for &(kind, _) in voters().flat_map(|it| &it.declared) {
        let span = majority(voters().filter(|it| it.sees(kind)).map(|it| it.span(|it| it == kind)));
        share[BAD] = span.max(share[BAD]);
        if let Some(class) = kind.rule().class {
            let own = &mut share[FAULTS + class as usize];
            *own = span.max(*own);
        }
    }
    share
}

/// What more than half say at least.
fn majority(spans: impl Iterator<Item = u16>) -> u16 {
    let mut spans: Vec<u16> = spans.collect();
    spans.sort_unstable();
    spans.get(spans.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    use FaultKind::{Black, DecodeErrors, HttpError, NoData, Unreachable};

    const BLIND: [u16; 4] = [WHOLE, 0, 0, WHOLE];
    const DEAF: [u16; 4] = [WHOLE, WHOLE, 0, WHOLE];
    const RADIO: [u16; 4] = [WHOLE, 0, WHOLE, WHOLE];
    const ALL: [u16; 4] = [WHOLE; 4];

    /// What agents say, how long it is bad, and how long each class that held did.
    type Case = (Vec<Word>, u16, Vec<(FaultClass, u16)>);

    fn word(any: u16, observed: [u16; 4], declared: &[(FaultKind, u16)]) -> Word {
        Word { any, observed, declared: declared.to_vec() }
    }

    #[test]
    fn a_second_is_bad_by_those_who_could_see_it() {
        let full = |observed, declared: &[_]| word(WHOLE, observed, declared);
        let good = || full(ALL, &[]);
        let cases: Vec<Case> = vec![
            (vec![], 0, vec![]),
            (vec![good()], 0, vec![]),
            (vec![full(ALL, &[(NoData, 1000)])], 1000, vec![(FaultClass::Unavailable, 1000)]),
            (vec![full(ALL, &[(NoData, 1000)]), good()], 0, vec![]),
            (
                vec![full(ALL, &[(NoData, 700)]), full(ALL, &[(NoData, 400)]), good()],
                400,
                vec![(FaultClass::Unavailable, 400)],
            ),
            // One does not decode, so it has not seen that the picture is there.
            (
                vec![full(ALL, &[(Black, 600)]), full(BLIND, &[])],
                600,
                vec![(FaultClass::Black, 600)],
            ),
            (vec![full(ALL, &[(Black, 600)]), full(BLIND, &[]), good()], 0, vec![]),
            (vec![full(ALL, &[(Black, 600)]), full(DEAF, &[])], 0, vec![]),
            (vec![full(RADIO, &[(DecodeErrors, 600)]), full(RADIO, &[])], 0, vec![]),
            // Two say that nothing comes, each in its own way.
            (
                vec![full(BLIND, &[(Unreachable, 1000)]), full(BLIND, &[(HttpError, 900)]), good()],
                900,
                vec![(FaultClass::Unavailable, 900)],
            ),
            // Two faults in one second, of which nobody knows how they overlap.
            (
                vec![full(ALL, &[(Black, 300), (DecodeErrors, 500)])],
                500,
                vec![(FaultClass::Decode, 500), (FaultClass::Black, 300)],
            ),
            // Bad for no longer than it was watched.
            (
                vec![word(200, [200; 4], &[(NoData, 1000)])],
                200,
                vec![(FaultClass::Unavailable, 200)],
            ),
            // Who saw a sliver of the second cannot outweigh who saw it whole.
            (
                vec![word(100, [100; 4], &[]), full(ALL, &[(NoData, 1000)])],
                1000,
                vec![(FaultClass::Unavailable, 1000)],
            ),
        ];
        for (words, bad, classes) in cases {
            let share = verdict(&words);
            let held = FaultClass::ALL.into_iter().zip(share[FAULTS..].iter().copied());
            let held: Vec<_> = held.filter(|it| it.1 > 0).collect();
            assert_eq!((share[BAD], held), (bad, classes), "{words:?}");
        }
    }
}
