//! Shell: front ends (gRPC, HTTP) over one typed service layer.
