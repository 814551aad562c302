//! Pending maps, on the same protocol: what races with inserting, giving up, and answering.

mod complete_and_drop;
mod id_reuse;
mod insert_and_fail_all;
