//! RFC 9110 and 9112 over raw TCP: what is sent, byte for byte, and what must come back. Every
//! answer is checked for what every answer must have (see [`wire`]).

mod connections;
mod errors;
mod fields;
mod hosts;
mod lengths;
mod methods;
mod request_lines;
mod targets;
mod wire;
