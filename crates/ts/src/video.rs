//! wip
use crate::{Parameters, Payload, cutter::Draft, elementary::Here, pes::Stamps};
use alloc::vec::Vec;
use tallylight_model::Codec;
pub(crate) struct VideoCutter {
    pub(crate) payload: Payload,
}
impl VideoCutter {
    pub(crate) fn new(_c: Codec, payload: Payload) -> Self {
        Self { payload }
    }
    pub(crate) fn stamps(&mut self, _s: Stamps, _r: bool) {}
    pub(crate) fn push(&mut self, _d: &[u8], _h: &Here<'_>, _r: &mut Vec<Draft>) -> bool {
        true
    }
    pub(crate) fn lost(&mut self) {}
    pub(crate) fn flush(&mut self, _r: &mut Vec<Draft>) {}
    pub(crate) fn parameters(&self) -> Parameters {
        Parameters::default()
    }
}
