//! shipway from outside: the real program on small real projects.

mod file;
mod project;
mod run;
