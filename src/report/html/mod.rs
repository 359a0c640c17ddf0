//! The run as one page of HTML.

mod layout;
mod text;
