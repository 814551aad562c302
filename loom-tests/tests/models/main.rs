//! The models, one file a rule. Exhaustive unless a file says otherwise.

mod begin_follows_release;
mod complete_and_drop;
mod complete_and_first_poll;
mod complete_and_new_waker;
mod last_return_frees_the_pool;
mod share_and_drop;
mod tail_of_complete_and_next_round;
mod tokens_and_cancel;
mod waker_generations_wrap;
