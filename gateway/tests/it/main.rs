//! What the gateway does by itself, with no service behind it: the order of refusals, bodies, CORS, ids, documents.

mod app;
mod bodies;
mod connections;
mod cors;
mod documents;
mod outage;
mod refusals;
