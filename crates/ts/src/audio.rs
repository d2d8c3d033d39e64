//! wip
use crate::{Parameters, Payload, cutter::Draft, elementary::Here, pes::Stamps};
use alloc::vec::Vec;
use tallylight_model::Codec;
pub(crate) struct AudioCutter {
    pub(crate) payload: Payload,
    pub(crate) resyncs: u64,
}
impl AudioCutter {
    pub(crate) fn new(_c: Codec, payload: Payload) -> Self {
        Self { payload, resyncs: 0 }
    }
    pub(crate) fn stamps(&mut self, _s: Stamps) {}
    pub(crate) fn push(&mut self, _d: &[u8], _h: &Here<'_>, _r: &mut Vec<Draft>) -> bool {
        true
    }
    pub(crate) fn lost(&mut self, _r: &mut Vec<Draft>) {}
    pub(crate) fn flush(&mut self, _r: &mut Vec<Draft>) {}
    pub(crate) fn parameters(&self) -> Parameters {
        Parameters::default()
    }
}
