//! The engine over HTTP: one module per path, the tree is the tree of URLs. Beside them, what concerns every path at once.

mod account;
mod api;
mod apps;
mod bindings;
mod continue_;
mod disabled;
mod documents;
mod faults;
mod forward_auth;
mod guards;
mod handoff;
mod headers;
mod introspect;
mod kratos;
mod leaks;
mod limits;
mod nodes;
mod oauth;
mod openapi;
mod pass;
mod sign_in;
mod sign_out;
mod sign_out_everywhere;
mod support;
mod upstream;
mod well_known;
