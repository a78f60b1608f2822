//! Tests of the election's machines: step by step, and against an ensemble in virtual time.

mod machines;
mod simulation;
