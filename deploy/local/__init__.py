"""The launcher: real servers on loopback, without root, Docker or anything installed on the host."""
