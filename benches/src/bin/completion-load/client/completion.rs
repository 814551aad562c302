//! completion-h2, through its `Connector`: stub.

use super::{Reply, Settings, Totals};
use crate::failure::{Failure, Kind};

pub(crate) struct Client;

impl Client {
    pub(super) fn new(_settings: &Settings) -> Self {
        Self
    }
    pub(super) fn session(&self, _line: usize) -> Session {
        Session
    }
    pub(super) fn totals(&self) -> Totals {
        Totals {
            pool: Some(Default::default()),
            settings_ack: None,
            ..Totals::default()
        }
    }
    pub(super) async fn settle(&self) {}
}

pub(crate) struct Session;

impl Session {
    pub(super) async fn exchange(&mut self) -> Result<Reply, Failure> {
        Err(Failure::submitted(Kind::Abandoned))
    }
}
