"""Connections to sessions: frames, sockets, and the way back after a loss."""
