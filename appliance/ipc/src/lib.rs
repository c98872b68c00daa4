//! Messages between services: framing over SOCK_SEQPACKET, message tables, descriptors, deadlines.
