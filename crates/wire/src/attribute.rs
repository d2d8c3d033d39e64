//! Reading and writing of OTLP attributes.

use core::time::Duration;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use tallylight_model::{Epoch, MonoTime, NodeId, StreamId};

use crate::WireError;

/// The agent's node.
pub(crate) const NODE: &str = "tallylight.node";
/// The agent's run. Unsigned numbers travel in OTLP's signed ones bit by bit.
pub(crate) const EPOCH: &str = "tallylight.epoch";
/// The stream, `channel/name`.
pub(crate) const STREAM: &str = "iptv.stream";

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.to_owned()))
}

pub(crate) fn number(key: &str, value: u64) -> KeyValue {
    pair(key, Value::IntValue(value.cast_signed()))
}

pub(crate) fn signed(key: &str, value: i64) -> KeyValue {
    pair(key, Value::IntValue(value))
}

pub(crate) fn bytes(key: &str, value: Vec<u8>) -> KeyValue {
    pair(key, Value::BytesValue(value))
}

/// The age of a moment, in nanoseconds; zero for one that is still to come.
pub(crate) fn age(key: &str, of: MonoTime, now: MonoTime) -> KeyValue {
    number(key, now.as_nanos().saturating_sub(of.as_nanos()))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

/// The attributes that one element has.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [KeyValue]);

impl<'a> Attributes<'a> {
    fn get(self, key: &str) -> Option<&'a Value> {
        let found = self.0.iter().find(|pair| pair.key == key)?;
        found.value.as_ref()?.value.as_ref()
    }

    pub(crate) fn has(self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn text(self, key: &'static str) -> Result<&'a str, WireError> {
        match self.get(key) {
            Some(Value::StringValue(text)) => Ok(text),
            Some(_) => Err(WireError::Wrong { field: key, expected: "a string" }),
            None => Err(WireError::Missing { attribute: key }),
        }
    }

    /// What is not there is no bytes.
    pub(crate) fn bytes(self, key: &'static str) -> Result<&'a [u8], WireError> {
        match self.get(key) {
            Some(Value::BytesValue(bytes)) => Ok(bytes),
            Some(_) => Err(WireError::Wrong { field: key, expected: "bytes" }),
            None => Ok(&[]),
        }
    }

    pub(crate) fn signed(self, key: &'static str) -> Result<i64, WireError> {
        match self.get(key) {
            Some(Value::IntValue(number)) => Ok(*number),
            Some(_) => Err(WireError::Wrong { field: key, expected: "an integer" }),
            None => Err(WireError::Missing { attribute: key }),
        }
    }

    pub(crate) fn number(self, key: &'static str) -> Result<u64, WireError> {
        self.signed(key).map(i64::cast_unsigned)
    }

    /// A moment by the receiver's clock, from its age.
    pub(crate) fn moment(self, key: &'static str, now: MonoTime) -> Result<MonoTime, WireError> {
        let age = u64::try_from(self.signed(key)?)
            .map_err(|_| WireError::Wrong { field: key, expected: "an age from 0 up" })?;
        Ok(now - Duration::from_nanos(age))
    }

    pub(crate) fn node(self) -> Result<NodeId, WireError> {
        let text = self.text(NODE)?;
        NodeId::new(text).map_err(|rule| WireError::Id { attribute: NODE, rule })
    }

    pub(crate) fn epoch(self) -> Result<Epoch, WireError> {
        self.number(EPOCH).map(Epoch)
    }

    pub(crate) fn stream(self) -> Result<StreamId, WireError> {
        let text = self.text(STREAM)?;
        StreamId::parse(text).map_err(|rule| WireError::Id { attribute: STREAM, rule })
    }
}

/// Counts against a limit of the whole request.
pub(crate) struct Budget {
    what: &'static str,
    limit: usize,
    left: usize,
}

impl Budget {
    pub(crate) fn new(what: &'static str, limit: usize) -> Self {
        Self { what, limit, left: limit }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<(), WireError> {
        let error = WireError::TooMany { what: self.what, limit: self.limit };
        self.left = self.left.checked_sub(count).ok_or(error)?;
        Ok(())
    }
}
